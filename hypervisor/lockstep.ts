/**
 * Two hosts with the same guests in step: one translates, the other interprets, and nothing else may make them differ. Steps
 * are short and of varying length, so that translated code is entered and left at every alignment; behind each
 * the CPUs are compared, and memory at intervals.
 */
import { Guest } from './guest.ts';
import type { Host } from './host.ts';
import { pageSize } from './memory/hostmemory.ts';
import * as codepage from './x86/codepage.ts';
import * as layout from './x86/layout.ts';
import type { Vcpu } from './x86/vcpu.ts';

/** Longest step of guests that execute, and step of guests that are all idle, in virtual ns. */
const longestStep = 8192;
const idleStep = 20_000;
/** Memory is compared that often, in virtual ns. */
const memoryInterval = 20_000_000;
/** Most bytes of code in a message. */
const shownCode = 64;

/** The two tiers came to different states. */
export class LockstepDifference extends Error {
  override name = 'LockstepDifference';
}

/** Lazy flags stand for RFLAGS, in more ways than one. */
const lazyFlags: readonly number[] = [layout.ccOp, layout.ccDst, layout.ccSrc];
const comparedFields = layout.architecturalFields.filter(({ offset }) => !lazyFlags.includes(offset));
/** General registers and RIP, and behind the lazy flags all else, in one piece each. */
const pieces = [
  { offset: 0, length: layout.ccOp },
  { offset: layout.ccSrc + 8, length: layout.architecturalSize - layout.ccSrc - 8 },
];

/** See the top of this file. */
export class Lockstep {
  readonly #translated: Host;
  readonly #interpreted: Host;
  #random = 0x9e37_79b9;
  #memoryAt = memoryInterval;

  /** @param interpreted a host with the same guests, given the same inputs at the same times */
  constructor(translated: Host, interpreted: Host) {
    this.#translated = translated;
    this.#interpreted = interpreted;
  }

  /** Virtual time of both hosts, in ns. */
  get time(): number {
    return this.#interpreted.time;
  }

  /** Lets all guests of both hosts run up to virtual time `until` (ns). Throws {@link LockstepDifference}. */
  run(until: number): void {
    while (this.#interpreted.time < until) {
      const from = this.#interpreted.time;
      const to = Math.min(until, from + this.#step());
      const starts = guestsOf(this.#interpreted).map(({ cpus }) => cpus.map(({ vcpu }) => whereIs(vcpu)));
      this.#translated.run(to);
      this.#interpreted.run(to);
      this.#each((translated, interpreted, number) => {
        const found = compareCpus(translated, interpreted);
        if (found !== undefined) this.#fail(from, to, number, starts[number]!, found);
      });
      if (to < this.#memoryAt) continue;
      this.#memoryAt = to + memoryInterval;
      this.compareMemory();
    }
  }

  /** Compares all memory of all guests. */
  compareMemory(): void {
    const { time } = this.#interpreted;
    this.#each((translated, interpreted, number) => {
      const found = compareMemory(translated, interpreted);
      if (found !== undefined) this.#fail(Math.max(0, time - memoryInterval), time, number, [], found);
    });
  }

  #each(visit: (translated: Guest, interpreted: Guest, number: number) => void): void {
    const translated = guestsOf(this.#translated);
    for (const [number, interpreted] of guestsOf(this.#interpreted).entries()) {
      visit(translated[number]!, interpreted, number);
    }
  }

  #fail(from: number, to: number, guest: number, starts: readonly string[], found: string): never {
    const where = starts.map((start, cpu) => `\n  CPU ${cpu} stood at ${start}`).join('');
    throw new LockstepDifference(
      `lockstep: translated and interpreted code differ in guest ${guest} between virtual time ${from} ns and ${to} ns:` +
        `\n  ${found} (translated / interpreted)${where}`,
    );
  }

  /** Length of the next step: short ones are as frequent as long ones. */
  #step(): number {
    if (this.#interpreted.guests.every((guest) => guest.cpus.every((cpu) => cpu.idle))) return idleStep;
    // Xorshift (George Marsaglia, "Xorshift RNGs", 2003).
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    const width = (x >>> 0) % (Math.log2(longestStep) + 1);
    return 1 + ((x >>> 8) & ((1 << width) - 1));
  }
}

/** The guests of a host. Their CPUs can be seen when they run on this thread. */
function guestsOf(host: Host): readonly Guest[] {
  return host.guests.map((guest) => {
    if (guest instanceof Guest) return guest;
    throw new Error('lockstep compares hosts that run all guests on one thread');
  });
}

/** Where a CPU stands, and the code there. */
function whereIs(vcpu: Vcpu): string {
  const rip = vcpu.get64(layout.rip);
  const linear = rip + vcpu.segment(layout.CS).base;
  const page = vcpu.get32(layout.codePage);
  const name = `RIP 0x${rip.toString(16)}`;
  // The page in execution is that of RIP, but when the next instruction has not been fetched yet.
  if (page === 0 || vcpu.get64(layout.pageBase) !== (linear & ~4095n)) return name;
  const at = page + codepage.contentOffset + Number(linear & 4095n);
  const end = Math.min(at + shownCode, page + codepage.contentOffset + pageSize);
  return `${name}, code ${Buffer.from(vcpu.engine.memory.u8.slice(at, end)).toString('hex')}`;
}

/** What differs in the guests' CPUs, and the value in each; undefined when nothing does. */
function compareCpus(a: Guest, b: Guest): string | undefined {
  for (const [index, { vcpu, time, retired }] of a.cpus.entries()) {
    const other = b.cpus[index]!;
    const same =
      vcpu.rflags === other.vcpu.rflags &&
      pieces.every(
        ({ offset, length }) =>
          Buffer.compare(vcpu.bytes(offset, length), other.vcpu.bytes(offset, length)) === 0,
      );
    if (!same) return `CPU ${index}: ${describe(vcpu, other.vcpu)}`;
    if (time !== other.time) return `CPU ${index}: time ${time} / ${other.time}`;
    if (retired !== other.retired) return `CPU ${index}: retired instructions ${retired} / ${other.retired}`;
  }
  return undefined;
}

function describe(a: Vcpu, b: Vcpu): string {
  const found: string[] = [];
  if (a.rflags !== b.rflags) found.push(`RFLAGS ${a.rflags.toString(16)} / ${b.rflags.toString(16)}`);
  for (const { name, offset, size } of comparedFields) {
    const step = size > 16 && size % 8 === 0 ? 8 : size;
    for (let at = 0; at < size; at += step) {
      const [left, right] = [a, b].map((each) => hex(each.bytes(offset + at, step)));
      if (left !== right) found.push(`${name}${size > step ? `[${at / step}]` : ''} ${left} / ${right}`);
    }
  }
  return found.join(', ');
}

/** Little-endian bytes as one number. */
function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.slice().reverse()).toString('hex');
}

/** Where the guests' memory differs first; undefined when it does not. */
function compareMemory({ space: a }: Guest, { space: b }: Guest): string | undefined {
  for (let page = 0; page < a.pageCount; page++) {
    if (a.isPresent(page) !== b.isPresent(page))
      return `page 0x${page.toString(16)}: present ${a.isPresent(page)} / ${b.isPresent(page)}`;
    if (!a.isPresent(page)) continue;
    const [left, right] = [a, b].map((space) => {
      const frame = space.frameOf(page);
      return space.memory.u8.subarray(frame, frame + pageSize);
    }) as [Uint8Array, Uint8Array];
    if (Buffer.compare(left, right) === 0) continue;
    const at = left.findIndex((byte, i) => byte !== right[i]);
    const part = (bytes: Uint8Array) => Buffer.from(bytes.slice(at, at + 16)).toString('hex');
    return `memory at guest-physical 0x${(page * pageSize + at).toString(16)}: ${part(left)} / ${part(right)}`;
  }
  return undefined;
}
