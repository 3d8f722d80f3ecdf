/** Boots an image under QEMU, the reference that the guest's programs are held against. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workloadPort } from '../../catalog.ts';
import type { Image } from '../../images/store.ts';
import { type Reported, type ReportLine, ReportReader } from '../../report.ts';
import { type ControlAnswer, ControlReader, controlParameter, controlPort, outputPort } from '../control.ts';

/** True when QEMU is installed. */
export const haveQemu = spawnSync('qemu-system-x86_64', ['--version']).status === 0;

/** A guest that runs under QEMU. */
export interface QemuGuest {
  /** Sends bytes to the serial console. */
  type(text: string): void;
  /** Resolves when the console has printed what `pattern` matches, since the last match. */
  expect(pattern: RegExp): Promise<string>;
  /** Sends bytes to the control port. */
  request(bytes: Uint8Array): void;
  /** The next answer on the control port. */
  answer(): Promise<ControlAnswer>;
  /** All that has come from the output port so far. */
  output(): string;
  /** Sends bytes to the port of the workloads. */
  tell(bytes: Uint8Array): void;
  /** The next line that a workload reports, of that event if given. */
  report(event?: string): Promise<ReportLine>;
  /** Resolves when the guest has switched itself off. */
  ended(): Promise<void>;
}

/** How long a guest may take for one step before the test gives up, in ms of real time. */
const patience = 120_000;

/** Bytes that arrive over time, and who waits for them. */
class Stream {
  text = '';
  #wake: (() => void)[] = [];

  push(chunk: string): void {
    this.text += chunk;
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Takes the beginning of the text, up to the end of what `pattern` matches, as soon as it does. */
  async take(pattern: RegExp): Promise<string> {
    const deadline = Date.now() + patience;
    for (;;) {
      const match = pattern.exec(this.text);
      if (match !== null) {
        const end = match.index + match[0].length;
        const taken = this.text.slice(0, end);
        this.text = this.text.slice(end);
        return taken;
      }
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${pattern} did not come; what came: ${this.text.slice(-2000)}`);
      await Promise.race([
        new Promise<void>((resolve) => this.#wake.push(resolve)),
        new Promise((resolve) => setTimeout(resolve, left).unref()),
      ]);
    }
  }
}

/** Listens on a Unix socket for one connection. */
async function listen(path: string): Promise<{ connected: Promise<Socket> }> {
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  const connected = once(server, 'connection').then(([socket]) => {
    server.close();
    return socket as Socket;
  });
  return { connected };
}

function diskArguments(file: string): string[] {
  return [
    ...['-drive', `file=${file},format=raw,if=none,id=image,readonly=on`],
    ...['-device', 'virtio-blk,drive=image'],
  ];
}

/**
 * Boots `image` and calls `work` with the guest; ends it afterwards.
 * @param options `ports`: whether the guest has the ports of the control protocol; `workload`: the parameters by which it
 * runs a workload from the start, and has the port for it
 */
export async function withQemu(
  image: Image,
  { ports, workload = '', append = '' }: { ports: boolean; workload?: string; append?: string },
  work: (guest: QemuGuest) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'pagefold-qemu-'));
  let qemu: ChildProcess | undefined;
  try {
    const names = [...(ports ? [controlPort, outputPort] : []), ...(workload === '' ? [] : [workloadPort])];
    const sockets = await Promise.all(names.map((name) => listen(join(folder, name))));
    const portArguments = names.flatMap((name) => [
      ...['-chardev', `socket,id=${name.replace('.', '-')},path=${join(folder, name)}`],
      ...['-device', `virtserialport,chardev=${name.replace('.', '-')},name=${name}`],
    ]);
    const devices = ['virtio-serial', 'virtio-balloon', 'virtio-rng', 'virtio-net'];
    qemu = spawn('qemu-system-x86_64', [
      ...['-accel', 'tcg', '-cpu', 'max', '-m', '256', '-display', 'none', '-nodefaults', '-no-reboot'],
      ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
      ...['-kernel', image.kernel, '-initrd', image.initrd],
      ...['-append', `console=ttyS0 panic=-1 ${ports ? controlParameter : ''} ${workload} ${append}`],
      ...(image.disk === undefined ? [] : diskArguments(image.disk)),
      ...devices.flatMap((device) => ['-device', device]),
      ...portArguments,
    ]);
    const exit = once(qemu, 'exit');
    const console = new Stream();
    qemu.stdout!.on('data', (chunk) => console.push(chunk.toString('latin1')));
    qemu.stderr!.on('data', (chunk) => console.push(`QEMU: ${chunk}`));
    const connected = new Map(
      await Promise.all(names.map(async (name, index) => [name, await sockets[index]!.connected] as const)),
    );
    const control = connected.get(controlPort);
    const output = connected.get(outputPort);
    const workloads = connected.get(workloadPort);
    const reports = new ReportReader();
    const reported = new Stream();
    workloads?.on('data', (chunk: Buffer) => {
      for (const each of reports.push(chunk)) reported.push(`${JSON.stringify(each)}\n`);
    });
    const reader = new ControlReader();
    const answers = new Stream();
    control?.on('data', (chunk: Buffer) => {
      for (const answer of reader.push(chunk)) answers.push(`${JSON.stringify(answer)}\n`);
    });
    let printed = '';
    output?.on('data', (chunk) => {
      printed += chunk.toString();
    });
    await work({
      type: (text) => qemu!.stdin!.write(text),
      expect: (pattern) => console.take(pattern),
      request: (bytes) => control!.write(bytes),
      answer: async () => JSON.parse(await answers.take(/.*\n/)),
      output: () => printed,
      tell: (bytes) => workloads!.write(bytes),
      report: async (event) => {
        for (;;) {
          const each = JSON.parse(await reported.take(/.*\n/)) as Reported;
          if (each.kind === 'damaged') throw new Error(`${each.reason}: ${each.text}`);
          if (event === undefined || each.line.event === event) return each.line;
        }
      },
      ended: async () => {
        const timeout = setTimeout(() => qemu!.kill(), patience);
        await exit;
        clearTimeout(timeout);
      },
    });
  } finally {
    qemu?.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
}
