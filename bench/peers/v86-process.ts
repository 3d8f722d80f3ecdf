/**
 * The process that v86 runs in, with one guest. Its argument says in JSON what to boot (`V86Boot`).
 */
import { readFileSync } from 'node:fs';
import { V86 } from 'v86';
import { onRequest, tell } from './protocol.ts';

/** What v86 is to boot: files, and the rest. */
export interface V86Boot {
  readonly wasm: string;
  readonly bios: string;
  readonly vgaBios: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
  readonly memoryBytes: number;
}

const boot = JSON.parse(process.argv[2]!) as V86Boot;

function file(path: string): { buffer: ArrayBuffer } {
  const bytes = readFileSync(path);
  return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer };
}

const emulator = new V86({
  wasm_path: boot.wasm,
  memory_size: boot.memoryBytes,
  bios: file(boot.bios),
  vga_bios: file(boot.vgaBios),
  bzimage: file(boot.kernel),
  initrd: file(boot.initrd),
  cmdline: boot.commandLine,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
});

let line = '';
function flush(): void {
  if (line !== '') tell({ kind: 'console', guest: 0, text: line });
  line = '';
}
emulator.add_listener('serial0-output-byte', (byte) => {
  if (line === '') setImmediate(flush);
  line += String.fromCharCode(byte);
  if (byte === 0x0a) flush();
});
emulator.add_listener('emulator-loaded', () => {
  tell({ kind: 'started', guest: 0 });
  void emulator.run();
});
onRequest((request) => {
  switch (request.kind) {
    case 'input':
      emulator.serial0_send(request.text);
      break;
    case 'pause':
      void emulator.stop();
      break;
    case 'resume':
      void emulator.run();
      break;
    default:
      throw new Error(`v86 cannot do this: ${request.kind}`);
  }
});
