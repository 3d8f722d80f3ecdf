/** A vector while it is made: a machine state that the parts of the generator write into. */

import type { Run } from '../bytes.ts';
import type { Rule } from '../format.ts';
import { baseImage, type Flavour, fxOffset, imageOffset } from '../image.ts';
import { type LocalName, localSelector, segmentState, userSelectors } from '../layout.ts';
import { type Random, seededRandom } from '../random.ts';

/** The kinds of code that vectors are made for. */
export type Mode = 'long' | 'compat32' | 'compat16';

export const codeSegment = 1;
export const stackSegment = 2;
export const dataSegment = 3;
export const extraSegment = 0;
const fsSegment = 4;

/** Register numbers in encoding order. */
export const rax = 0;
export const rcx = 1;
export const rdx = 2;
export const rbx = 3;
export const rsp = 4;
export const rbp = 5;
export const rsi = 6;
export const rdi = 7;

/** A vector in the making. */
export class Draft {
  readonly mode: Mode;
  readonly seed: number;
  readonly flavour: Flavour;
  readonly random: Random;
  readonly image: Uint8Array;
  readonly #view: DataView;
  readonly #memory = new Map<number, number>();
  readonly #ignoredMemory = new Map<number, number>();
  /** What the manual leaves undefined; `manual` is filled by whoever adds to it. */
  rule: Rule = { manual: '' };
  /** Linear address of the first byte of code. */
  codeLinear = 0;

  constructor(mode: Mode, seed: number, flavour: Flavour) {
    this.mode = mode;
    this.seed = seed;
    this.flavour = flavour;
    // Not the base image's own sequence, which has the seed itself.
    this.random = seededRandom(seed ^ 0x5eed_cafe);
    this.image = baseImage(seed, flavour);
    this.#view = new DataView(this.image.buffer);
    if (mode === 'long') {
      for (const segment of [0, 3]) this.setSelector(segment, 0);
      this.setSelector(codeSegment, userSelectors.code64);
      this.setSelector(stackSegment, userSelectors.data);
      return;
    }
    for (let i = 0; i < 8; i++) this.setGpr(i, this.gpr(i) & 0xffff_ffffn);
    for (let i = 8; i < 16; i++) this.setGpr(i, 0n);
  }

  gpr(index: number): bigint {
    return this.#view.getBigUint64(imageOffset.gpr + 8 * index, true);
  }

  /** Sets a whole general register; in compatibility mode its lower half. */
  setGpr(index: number, value: bigint): void {
    const kept = this.mode === 'long' ? 64 : 32;
    this.#view.setBigUint64(imageOffset.gpr + 8 * index, BigInt.asUintN(kept, value), true);
  }

  /** Sets the low `bits` of a general register and leaves the others random. */
  setGprBits(index: number, bits: number, value: bigint): void {
    const mask = (1n << BigInt(bits)) - 1n;
    this.setGpr(index, (this.gpr(index) & ~mask) | (value & mask));
  }

  get flags(): number {
    return this.#view.getUint32(imageOffset.rflags, true);
  }

  set flags(value: number) {
    this.#view.setUint32(imageOffset.rflags, value, true);
  }

  selector(segment: number): number {
    return this.#view.getUint16(imageOffset.selectors + 2 * segment, true);
  }

  /** Loads a segment register; FS and GS get their descriptor's base. */
  setSelector(segment: number, selector: number): void {
    this.#view.setUint16(imageOffset.selectors + 2 * segment, selector, true);
    if (segment >= fsSegment) this.setSegmentBase(segment, segmentState(selector).base);
  }

  setLocal(segment: number, name: LocalName): void {
    this.setSelector(segment, localSelector(name));
  }

  /** Sets the base of FS or GS. */
  setSegmentBase(segment: number, base: bigint): void {
    const at = segment === fsSegment ? imageOffset.fsBase : imageOffset.gsBase;
    this.#view.setBigUint64(at, BigInt.asUintN(64, base), true);
  }

  /** The base that an access through the segment adds: in 64-bit mode only that of FS and GS. */
  segmentBase(segment: number): bigint {
    if (segment >= fsSegment) {
      return this.#view.getBigUint64(segment === fsSegment ? imageOffset.fsBase : imageOffset.gsBase, true);
    }
    return this.mode === 'long' ? 0n : segmentState(this.selector(segment)).base;
  }

  /** True when the segment's D/B bit is set. */
  segmentBig(segment: number): boolean {
    return (segmentState(this.selector(segment)).attributes & 0x4000) !== 0;
  }

  set rip(value: bigint) {
    this.#view.setBigUint64(imageOffset.rip, value, true);
  }

  get rip(): bigint {
    return this.#view.getBigUint64(imageOffset.rip, true);
  }

  /** Places the code: sets RIP so that CS.base + RIP is the linear address. */
  placeCode(linear: number): void {
    this.codeLinear = linear;
    this.rip = BigInt(linear) - this.segmentBase(codeSegment);
  }

  /** The FXSAVE image. */
  get fx(): DataView {
    return new DataView(this.image.buffer, imageOffset.fxsave, 512);
  }

  set mxcsr(value: number) {
    this.fx.setUint32(fxOffset.mxcsr, value, true);
  }

  get mxcsr(): number {
    return this.fx.getUint32(fxOffset.mxcsr, true);
  }

  /** Sets 64 bits of an XMM register; `half` 1 is the upper. */
  setXmm(register: number, half: 0 | 1, value: bigint): void {
    this.fx.setBigUint64(fxOffset.xmm + 16 * register + 8 * half, BigInt.asUintN(64, value), true);
  }

  xmm(register: number, half: 0 | 1): bigint {
    return this.fx.getBigUint64(fxOffset.xmm + 16 * register + 8 * half, true);
  }

  /** Sets an MMX register: physical x87 register `register`, whatever TOP is. */
  setMm(register: number, value: bigint): void {
    const top = (this.fx.getUint16(fxOffset.fsw, true) >> 11) & 7;
    this.fx.setBigUint64(fxOffset.st + 16 * ((register - top) & 7), BigInt.asUintN(64, value), true);
  }

  /** Sets ST(i). */
  setSt(i: number, { exponent, significand }: { exponent: number; significand: bigint }): void {
    this.fx.setBigUint64(fxOffset.st + 16 * i, significand, true);
    this.fx.setUint16(fxOffset.st + 16 * i + 8, exponent, true);
  }

  st(i: number): { exponent: number; significand: bigint } {
    return {
      exponent: this.fx.getUint16(fxOffset.st + 16 * i + 8, true),
      significand: this.fx.getBigUint64(fxOffset.st + 16 * i, true),
    };
  }

  /** Writes bytes into memory before the run. */
  poke(linear: number, bytes: Uint8Array): void {
    for (const [i, byte] of bytes.entries()) this.#memory.set(linear + i, byte);
  }

  /** Writes the low `length` bytes of `value` into memory before the run. */
  pokeInteger(linear: number, length: number, value: bigint): void {
    for (let i = 0; i < length; i++) this.#memory.set(linear + i, Number((value >> BigInt(8 * i)) & 0xffn));
  }

  /** Leaves bits of a byte in memory out of the comparison. */
  ignoreMemory(linear: number, length: number, mask = 0xff): void {
    for (let i = 0; i < length; i++) {
      this.#ignoredMemory.set(linear + i, (this.#ignoredMemory.get(linear + i) ?? 0) | mask);
    }
  }

  /** Adds to what is not compared. */
  addRule(rule: Rule): void {
    const mine = this.rule;
    const joined: Rule = { manual: mine.manual === '' ? rule.manual : `${mine.manual}; ${rule.manual}` };
    const flags = (mine.flags ?? 0) | (rule.flags ?? 0);
    if (flags !== 0) joined.flags = flags;
    const statusWord = (mine.statusWord ?? 0) | (rule.statusWord ?? 0);
    if (statusWord !== 0) joined.statusWord = statusWord;
    const lastPlace = [...(mine.lastPlace ?? []), ...(rule.lastPlace ?? [])];
    if (lastPlace.length > 0) joined.lastPlace = lastPlace;
    const approximate = [...(mine.approximate ?? []), ...(rule.approximate ?? [])];
    if (approximate.length > 0) joined.approximate = approximate;
    this.rule = joined;
  }

  /** The patches of memory that are in one of `regions`, ascending; bytes that are in none are lost, as writes to unmapped memory would be. */
  patches(inside: (linear: number) => boolean): Run[] {
    return runsOf(this.#memory, inside);
  }

  /** The ignored bits of memory, likewise. */
  ignored(inside: (linear: number) => boolean): Run[] {
    return runsOf(this.#ignoredMemory, inside);
  }
}

function runsOf(bytes: Map<number, number>, inside: (linear: number) => boolean): Run[] {
  const places = [...bytes.keys()].filter(inside).sort((a, b) => a - b);
  const runs: { at: number; bytes: number[] }[] = [];
  for (const place of places) {
    const last = runs.at(-1);
    if (last !== undefined && last.at + last.bytes.length === place && place % 4096 !== 0) {
      last.bytes.push(bytes.get(place)!);
    } else runs.push({ at: place, bytes: [bytes.get(place)!] });
  }
  return runs.map(({ at, bytes: content }) => ({ at, bytes: Uint8Array.from(content) }));
}
