/**
 * The decoder: from bytes to an instruction's form and operands (SDM vol. 2, chapter 2), for 16-, 32- and 64-bit code.
 */
import { type Form, formNumber, noSlides, type Repeat, type Slides, slidingNumber } from '../form.ts';
import * as layout from '../layout.ts';
import {
  anything,
  type ImmediateKind,
  immediateKinds,
  type MappedRow,
  type OpcodeMap,
  regKinds,
  rmKinds,
} from './opcodemap.ts';

/** The longest instruction (SDM vol. 2, 2.3.11). */
export const maximumLength = 15;

/** How decoding ended. */
export type DecodeOutcome = 'instruction' | 'undefined' | 'too long' | 'incomplete';

const noPrefix = 0;

/** What each byte is where a prefix may stand. */
const prefixKinds = {
  none: 0,
  segment: 1,
  FS: 2,
  GS: 3,
  operand: 4,
  address: 5,
  lock: 6,
  repeat: 7,
  rex: 8,
} as const;
const prefixOf = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e]) prefixOf[byte] = prefixKinds.segment;
prefixOf[0x64] = prefixKinds.FS;
prefixOf[0x65] = prefixKinds.GS;
prefixOf[0x66] = prefixKinds.operand;
prefixOf[0x67] = prefixKinds.address;
prefixOf[0xf0] = prefixKinds.lock;
prefixOf[0xf2] = prefixKinds.repeat;
prefixOf[0xf3] = prefixKinds.repeat;
prefixOf.fill(prefixKinds.rex, 0x40, 0x50);

/** Bytes under the decoder; it throws this when they end within an instruction. */
class OutOfBytes extends Error {}
const outOfBytes = new OutOfBytes();

/**
 * Decodes one instruction at a time into its own fields, which hold until the next call. Register fields are
 * offsets into the vCPU's state; see `codepage.ts` for their meaning.
 */
export class Decoder {
  readonly #map: OpcodeMap;
  readonly #forms = new Map<number, Form>();

  /** Set by `decode` when it returns 'instruction'. */
  form!: Form;
  /** Equal for equal forms only. */
  formNumber = 0;
  row!: MappedRow;
  length = 0;
  reg: number = layout.zero;
  rm: number = layout.zero;
  index: number = layout.zero;
  segment: number = layout.zero;
  /** log2 of the scale. */
  scale = 0;
  stack = false;
  displacement = 0;
  /** The displacement counts from the start of the page that holds the instruction. */
  ripRelative = false;
  immediateLow = 0;
  immediateHigh = 0;
  /** For relative jumps: distance of the target from the start of the page. */
  jumpTarget: number | undefined;
  /** Distances from the instruction's start of the last bytes of a displacement and of an immediate's low half, of 32 bits; -1: none. */
  displacementEnd = -1;
  immediateEnd = -1;

  #bytes!: Uint8Array;
  #at = 0;
  #end = 0;
  #start = 0;
  /** Distance of the instruction from the start of its page. */
  #offset = 0;

  #codeSize = 0;
  #rex = 0;
  #operandPrefix = false;
  #addressPrefix = false;
  #repeatPrefix = 0;
  #lock = false;
  #segmentPrefix = -1;
  #addressSize: 2 | 4 | 8 = 8;
  #modrm = 0;

  constructor(map: OpcodeMap) {
    this.#map = map;
  }

  /**
   * Decodes at `offset` of a page whose bytes are `bytes` from `origin` up to `end`. 'incomplete' means that the
   * instruction goes on behind them.
   * @param codeSize 0 for 16-bit code, 1 for 32, 2 for 64
   */
  decode(bytes: Uint8Array, origin: number, end: number, offset: number, codeSize: number): DecodeOutcome {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#start = origin + offset;
    this.#at = this.#start;
    this.#end = Math.min(end, this.#start + maximumLength);
    this.#codeSize = codeSize;
    try {
      return this.#decode() ? 'instruction' : 'undefined';
    } catch (error) {
      if (error !== outOfBytes) throw error;
      return this.#end - this.#start === maximumLength ? 'too long' : 'incomplete';
    }
  }

  #byte(): number {
    if (this.#at >= this.#end) throw outOfBytes;
    return this.#bytes[this.#at++]!;
  }

  #signed8(): number {
    return (this.#byte() << 24) >> 24;
  }

  #u16(): number {
    const at = this.#at;
    if (at + 2 > this.#end) throw outOfBytes;
    this.#at = at + 2;
    const bytes = this.#bytes;
    return bytes[at]! | (bytes[at + 1]! << 8);
  }

  #i32(): number {
    const at = this.#at;
    if (at + 4 > this.#end) throw outOfBytes;
    this.#at = at + 4;
    const bytes = this.#bytes;
    return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }

  /** Reads the prefixes, and gives the first byte of the opcode. */
  #prefixes(): number {
    this.#rex = 0;
    this.#operandPrefix = false;
    this.#addressPrefix = false;
    this.#repeatPrefix = 0;
    this.#lock = false;
    this.#segmentPrefix = -1;
    for (;;) {
      const byte = this.#byte();
      switch (prefixOf[byte]) {
        case prefixKinds.none:
          return byte;
        case prefixKinds.rex: {
          if (this.#codeSize !== 2) return byte;
          // A REX prefix counts only right before the opcode.
          const next = this.#byte();
          if (prefixOf[next] === prefixKinds.none) {
            this.#rex = byte;
            return next;
          }
          this.#at--;
          break;
        }
        case prefixKinds.segment:
          // ES, CS, SS, DS are ignored in 64-bit mode, where they do not take back FS or GS either.
          if (this.#codeSize !== 2) this.#segmentPrefix = (byte >> 3) & 3;
          break;
        case prefixKinds.FS:
          this.#segmentPrefix = layout.FS;
          break;
        case prefixKinds.GS:
          this.#segmentPrefix = layout.GS;
          break;
        case prefixKinds.operand:
          this.#operandPrefix = true;
          break;
        case prefixKinds.address:
          this.#addressPrefix = true;
          break;
        case prefixKinds.lock:
          this.#lock = true;
          break;
        case prefixKinds.repeat:
          this.#repeatPrefix = byte;
          break;
      }
    }
  }

  #decode(): boolean {
    let opcode = this.#prefixes();
    let map = 0;
    if (opcode === 0x0f) {
      map = 1;
      opcode = this.#byte();
      if (opcode === 0x38 || opcode === 0x3a) {
        map = opcode === 0x38 ? 2 : 3;
        opcode = this.#byte();
      }
    }
    const candidates = this.#map[map]![opcode]!;
    if (candidates.length === 0) return false;
    // All rows of an opcode agree on ModRM, but in the one-byte map some lose their meaning in 64-bit mode.
    if (candidates[0]!.hasModrm) {
      if (this.#at >= this.#end) throw outOfBytes;
      this.#modrm = this.#bytes[this.#at]!;
    }
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!;
      if (!this.#matches(candidate)) continue;
      this.row = candidate;
      return this.#operands(candidate);
    }
    return false;
  }

  #matches({ in64, prefix, modrm, digit, inMemory, b, w }: MappedRow): boolean {
    if (in64 !== anything && in64 !== Number(this.#codeSize === 2)) return false;
    if (prefix !== anything) {
      const present = this.#repeatPrefix !== 0 ? this.#repeatPrefix : this.#operandPrefix ? 0x66 : noPrefix;
      if (prefix !== present) return false;
    }
    if (modrm !== anything && modrm !== this.#modrm) return false;
    if (digit !== anything && digit !== ((this.#modrm >> 3) & 7)) return false;
    if (inMemory !== anything && inMemory !== Number(this.#modrm < 0xc0)) return false;
    if (b !== anything && b !== (this.#rex & 1)) return false;
    return w === anything || w === ((this.#rex >> 3) & 1);
  }

  #size(found: MappedRow): 2 | 4 | 8 {
    if (found.size !== 0) return found.size;
    const narrow = this.#operandPrefix && found.prefix !== 0x66;
    if (this.#codeSize !== 2) return (this.#codeSize === 0) === narrow ? 4 : 2;
    if (found.always64 || (this.#rex & 8) !== 0) return 8;
    if (narrow) return 2;
    return found.defaults64 ? 8 : 4;
  }

  #operands(found: MappedRow): boolean {
    const size = this.#size(found);
    const codeSize = this.#codeSize;
    this.#addressSize =
      codeSize === 2 ? (this.#addressPrefix ? 4 : 8) : (codeSize === 0) === this.#addressPrefix ? 4 : 2;
    const memory =
      found.hasAbsolute ||
      (found.hasModrm && this.#modrm < 0xc0 && found.modrm === anything && !found.ignoresMod);
    this.#clear();
    this.segment = this.#segmentOf(layout.DS);
    const repeat: Repeat =
      !found.repeats || this.#repeatPrefix === 0 ? 'none' : this.#repeatPrefix === 0xf2 ? 'repne' : 'repe';
    this.#setForm(found, size, memory, repeat);
    if (found.hasModrm) {
      this.#at++;
      if (memory) this.#address();
      else this.#setRm(found);
    }
    if (!this.#setReg(found)) return false;
    if (found.hasAbsolute) this.#absolute();
    const { immediates } = found;
    for (let i = 0; i < immediates.length; i++) this.#immediate(immediates[i]!, size);
    this.length = this.#at - this.#start;
    if (this.ripRelative) this.displacement += this.#offset + this.length;
    if (this.jumpTarget !== undefined) this.jumpTarget += this.#offset + this.length;
    if (found.popAddress && memory && this.rm === layout.gprOffset(4)) this.displacement += size;
    // Only now: a fault while the rest of the instruction is fetched comes first.
    return !this.#lock || (found.mayLock && memory);
  }

  #clear(): void {
    this.reg = layout.zero;
    this.rm = layout.zero;
    this.index = layout.zero;
    this.scale = 0;
    this.displacement = 0;
    this.ripRelative = false;
    this.immediateLow = 0;
    this.immediateHigh = 0;
    this.jumpTarget = undefined;
    this.displacementEnd = -1;
    this.immediateEnd = -1;
    this.stack = false;
  }

  #setForm(found: MappedRow, size: 2 | 4 | 8, memory: boolean, repeat: Repeat): void {
    const code64 = this.#codeSize === 2;
    const w = (this.#rex & 8) !== 0;
    this.formNumber = formNumber(found.number, size, this.#addressSize, code64, memory, repeat, w);
    let form = this.#forms.get(this.formNumber);
    if (form === undefined) {
      form = {
        row: found.row,
        size,
        addressSize: this.#addressSize,
        code64,
        memory,
        repeat,
        w,
        slides: noSlides,
      };
      this.#forms.set(this.formNumber, form);
    }
    this.form = form;
  }

  #segmentOf(standard: number): number {
    const number = this.#segmentPrefix >= 0 ? this.#segmentPrefix : standard;
    if (this.#codeSize === 2 && number < layout.FS) return layout.zero;
    return layout.segmentOffset(number);
  }

  /** Offset into the state of general register `number` (0 … 15); of those of one byte, 4 … 7 are AH … BH without REX. */
  #gpr(number: number, isByte: boolean): number {
    if (isByte && this.#rex === 0 && number >= 4) return layout.gprOffset(number - 4) + 1;
    return layout.gprOffset(number);
  }

  #setRm(found: MappedRow): void {
    const rm = (this.#modrm & 7) | ((this.#rex & 1) << 3);
    switch (found.rm) {
      case rmKinds.general:
        this.rm = this.#gpr(rm, found.byteRm);
        break;
      case rmKinds.xmm:
        this.rm = layout.xmmOffset(rm);
        break;
      case rmKinds.mmx:
        this.rm = layout.fpr + 16 * (rm & 7);
        break;
    }
  }

  /** False when there is no such register. */
  #setReg(found: MappedRow): boolean {
    const reg = ((this.#modrm >> 3) & 7) | ((this.#rex & 4) << 1);
    switch (found.reg) {
      case regKinds.G:
        this.reg = this.#gpr(reg, found.byteReg);
        break;
      case regKinds.Z:
        this.reg = this.#gpr((found.row.opcode & 7) | ((this.#rex & 1) << 3), found.byteReg);
        break;
      case regKinds.V:
        this.reg = layout.xmmOffset(reg);
        break;
      case regKinds.P:
        this.reg = layout.fpr + 16 * (reg & 7);
        break;
      case regKinds.S:
        this.reg = reg & 7;
        return this.reg <= layout.GS;
      case regKinds.C:
        this.reg = reg;
        return reg === 0 || (reg >= 2 && reg <= 4) || reg === 8;
      case regKinds.D:
        this.reg = reg;
        return reg < 8;
      case regKinds.T:
        // The x87's opcode as FOP has it (SDM vol. 1, 8.1.9); its low bits are the stack position.
        this.reg = ((found.row.opcode & 7) << 8) | this.#modrm;
        break;
    }
    return true;
  }

  #address(): void {
    if (this.#addressSize === 2) this.#address16();
    else this.#address32();
  }

  #address16(): void {
    const mod = this.#modrm >> 6;
    const rm = this.#modrm & 7;
    const [BX, BP, SI, DI] = [3, 5, 6, 7].map(layout.gprOffset) as [number, number, number, number];
    const absolute = mod === 0 && rm === 6;
    const bases = [BX, BX, BP, BP, SI, DI, BP, BX];
    const indexes = [SI, DI, SI, DI];
    this.rm = absolute ? layout.zero : bases[rm]!;
    this.index = indexes[rm] ?? layout.zero;
    if (absolute || mod === 2) this.displacement = (this.#u16() << 16) >> 16;
    else if (mod === 1) this.displacement = this.#signed8();
    this.#useSegment(this.rm === BP);
  }

  #address32(): void {
    const mod = this.#modrm >> 6;
    let base = this.#modrm & 7;
    let inStack = false;
    const extension = (this.#rex & 1) << 3;
    if (base === 4) {
      const sib = this.#byte();
      base = sib & 7;
      const index = ((sib >> 3) & 7) | ((this.#rex & 2) << 2);
      if (index !== 4) {
        this.index = layout.gprOffset(index);
        this.scale = sib >> 6;
      }
      if (base === 5 && mod === 0) this.displacement = this.#displacement32();
      else this.rm = layout.gprOffset(base | extension);
    } else if (base === 5 && mod === 0) {
      this.displacement = this.#displacement32();
      if (this.#codeSize === 2) {
        this.ripRelative = true;
        this.rm = layout.pageBase;
      }
    } else this.rm = layout.gprOffset(base | extension);
    if (mod === 1) this.displacement = this.#signed8();
    else if (mod === 2) this.displacement = this.#displacement32();
    inStack = this.rm === layout.gprOffset(4) || this.rm === layout.gprOffset(5);
    this.#useSegment(inStack);
  }

  #displacement32(): number {
    const value = this.#i32();
    this.displacementEnd = this.#at - 1 - this.#start;
    return value;
  }

  /** Takes the instruction for one whose constants slide; they are still as in its bytes. */
  slide(slides: Slides): void {
    const number = slidingNumber(this.formNumber, slides);
    let form = this.#forms.get(number);
    if (form === undefined) {
      form = { ...this.form, slides };
      this.#forms.set(number, form);
    }
    this.formNumber = number;
    this.form = form;
  }

  #useSegment(inStack: boolean): void {
    this.segment = this.#segmentOf(inStack ? layout.SS : layout.DS);
    this.stack = inStack && this.#segmentPrefix < 0;
  }

  #absolute(): void {
    if (this.#addressSize === 2) this.immediateLow = this.#u16();
    else {
      this.immediateLow = this.#i32();
      if (this.#addressSize === 8) this.immediateHigh = this.#i32();
    }
  }

  #setImmediate(value: number): void {
    this.immediateLow = value;
    this.immediateHigh = value < 0 ? -1 : 0;
  }

  #immediate(kind: ImmediateKind, size: 2 | 4 | 8): void {
    switch (kind) {
      case immediateKinds.Ib:
        this.#setImmediate(this.#byte());
        break;
      case immediateKinds.nesting:
        // It goes above the size.
        this.immediateLow |= this.#byte() << 16;
        break;
      case immediateKinds.Ibv:
        this.#setImmediate(this.#signed8());
        break;
      case immediateKinds.Iw:
        this.#setImmediate(this.#u16());
        break;
      case immediateKinds.Iz:
        this.#sizedImmediate(size);
        break;
      case immediateKinds.Iv:
        this.#sizedImmediate(size);
        if (size === 8) this.immediateHigh = this.#i32();
        break;
      case immediateKinds.Jb:
        this.jumpTarget = this.#signed8();
        break;
      case immediateKinds.Jz:
        this.jumpTarget = size === 2 ? (this.#u16() << 16) >> 16 : this.#i32();
        break;
      case immediateKinds.Ap:
        // Far address: offset, then selector in the upper half.
        this.immediateLow = size === 2 ? this.#u16() : this.#i32();
        this.immediateHigh = this.#u16();
        break;
    }
  }

  #sizedImmediate(size: 2 | 4 | 8): void {
    if (size === 2) this.#setImmediate((this.#u16() << 16) >> 16);
    else {
      this.#setImmediate(this.#i32());
      this.immediateEnd = this.#at - 1 - this.#start;
    }
  }
}
