/** Compiles and drives the native runner. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Run } from '../bytes.ts';
import { imageBytes } from '../image.ts';
import { type Descriptor, type LayoutName, layouts, localDescriptors, regionContent } from '../layout.ts';

/** What the runner takes: the state before. */
export interface NativeInput {
  image: Uint8Array;
  code: Run;
  patches: readonly Run[];
}

/** What the runner gives: the state after. */
export interface NativeOutcome {
  status: 'exception' | 'timed out' | 'system call';
  vector: number;
  errorCode: number;
  cr2: bigint;
  image: Uint8Array;
  changes: Run[];
}

const rightsCode = { rw: 0, r: 1, rx: 2 } as const;

/** The last word of Linux's struct user_desc: its bit fields (modify_ldt(2)). */
function userDescFlags({ type, big, pages, present }: Descriptor): number {
  const contents = type >> 2;
  const notWritableOrReadable = (type & 2) === 0;
  return (
    (big ? 1 : 0) | (contents << 1) | (notWritableOrReadable ? 8 : 0) | (pages ? 16 : 0) | (present ? 0 : 32)
  );
}

class Output {
  readonly #parts: Uint8Array[] = [];
  u32(value: number): void {
    const part = new Uint8Array(4);
    new DataView(part.buffer).setUint32(0, value, true);
    this.#parts.push(part);
  }
  u64(value: number): void {
    const part = new Uint8Array(8);
    new DataView(part.buffer).setBigUint64(0, BigInt(value), true);
    this.#parts.push(part);
  }
  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }
  finish(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

function encodeInput(layout: LayoutName, inputs: readonly NativeInput[]): Uint8Array {
  const output = new Output();
  const descriptors = Object.values(localDescriptors);
  output.u32(layouts[layout].length);
  output.u32(descriptors.length);
  for (const region of layouts[layout]) {
    const content = regionContent(region);
    output.u64(region.linear);
    output.u32(content.length);
    output.u32(rightsCode[region.rights]);
    output.raw(content);
  }
  for (const [index, descriptor] of descriptors.entries()) {
    output.u32(index);
    output.u32(descriptor.base);
    output.u32(descriptor.limit);
    output.u32(userDescFlags(descriptor));
  }
  for (const { image, code, patches } of inputs) {
    output.raw(image);
    output.u32(1 + patches.length);
    for (const { at, bytes } of [code, ...patches]) {
      output.u64(at);
      output.u32(bytes.length);
      output.raw(bytes);
    }
  }
  return output.finish();
}

class Input {
  readonly #bytes: Buffer;
  #at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  #take(length: number): number {
    this.#at += length;
    return this.#at - length;
  }
  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }
  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return new Uint8Array(this.#bytes.subarray(at, at + length));
  }
}

const statuses = ['exception', 'timed out', 'system call'] as const;

function decodeOutput(bytes: Buffer, count: number): NativeOutcome[] {
  const input = new Input(bytes);
  return Array.from({ length: count }, () => {
    const status = statuses[input.u32()]!;
    const vector = input.u32();
    const errorCode = Number(input.u64());
    const cr2 = input.u64();
    const image = input.raw(imageBytes);
    const changes = Array.from({ length: input.u32() }, () => {
      const at = Number(input.u64());
      return { at, bytes: input.raw(input.u32()) };
    });
    return { status, vector, errorCode, cr2, image, changes };
  });
}

/** The compiled runner. */
export interface NativeRunner {
  /** Runs all inputs on the processor, in order. Throws with the runner's own words when it fails. */
  run(layout: LayoutName, inputs: readonly NativeInput[]): NativeOutcome[];
  /** Removes the compiled program. */
  close(): void;
}

/** Compiles `native/runner.c` with the system's C compiler. */
export function compileRunner(): NativeRunner {
  const directory = mkdtempSync(join(tmpdir(), 'vectors-'));
  const program = join(directory, 'runner');
  const source = new URL('../native/runner.c', import.meta.url).pathname;
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-fno-stack-protector', '-o', program, source], {
    stdio: 'inherit',
  });
  return {
    run(layout, inputs) {
      const { status, signal, stdout, stderr } = spawnSync(program, {
        input: encodeInput(layout, inputs),
        maxBuffer: 2 ** 31 - 1,
      });
      if (status !== 0)
        throw new Error(`the native runner ended with ${status ?? signal}: ${stderr.toString()}`);
      return decodeOutput(stdout, inputs.length);
    },
    close: () => rmSync(directory, { recursive: true }),
  };
}

/** Name and CPUID signature of the processor, from what Linux says about it. */
export function processorName(): { processor: string; signature: string } {
  const text = readFileSync('/proc/cpuinfo', 'utf8');
  const field = (name: string) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? 'unknown';
  const [family, model, stepping] = ['cpu family', 'model', 'stepping'].map((name) => Number(field(name)));
  const baseFamily = Math.min(family!, 15);
  const signature =
    ((family! - baseFamily) << 20) |
    ((model! >> 4) << 16) |
    (baseFamily << 8) |
    ((model! & 15) << 4) |
    stepping!;
  return { processor: `${field('vendor_id')} ${field('model name')}`, signature: signature.toString(16) };
}
