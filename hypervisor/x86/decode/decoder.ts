/**
 * The decoder: from bytes to an instruction's form and operands (SDM vol. 2, chapter 2), for 16-, 32- and 64-bit code.
 */
import {
  type Form,
  formNumber,
  noSlides,
  operandSize,
  type Repeat,
  type Slides,
  slidingForm,
} from '../form.ts';
import type { OperandSpec } from '../isa/instruction.ts';
import * as layout from '../layout.ts';
import type { MappedRow, OpcodeMap } from './opcodemap.ts';

/** The longest instruction (SDM vol. 2, 2.3.11). */
export const maximumLength = 15;

/** How decoding ended. */
export type DecodeOutcome = 'instruction' | 'undefined' | 'too long' | 'incomplete';

const noPrefix = 0;

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
    return this.#byte() | (this.#byte() << 8);
  }

  #i32(): number {
    return this.#u16() | (this.#u16() << 16);
  }

  #prefixes(): number {
    this.#rex = 0;
    this.#operandPrefix = false;
    this.#addressPrefix = false;
    this.#repeatPrefix = 0;
    this.#lock = false;
    this.#segmentPrefix = -1;
    for (;;) {
      const byte = this.#byte();
      switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
          // ES, CS, SS, DS are ignored in 64-bit mode, where they do not take back FS or GS either.
          if (this.#codeSize !== 2) this.#segmentPrefix = (byte >> 3) & 3;
          break;
        case 0x64:
          this.#segmentPrefix = layout.FS;
          break;
        case 0x65:
          this.#segmentPrefix = layout.GS;
          break;
        case 0x66:
          this.#operandPrefix = true;
          break;
        case 0x67:
          this.#addressPrefix = true;
          break;
        case 0xf0:
          this.#lock = true;
          break;
        case 0xf2:
        case 0xf3:
          this.#repeatPrefix = byte;
          break;
        default:
          if (this.#codeSize === 2 && (byte & 0xf0) === 0x40) {
            // A REX prefix counts only right before the opcode.
            this.#rex = byte;
            const next = this.#byte();
            this.#at--;
            if (!this.#isPrefix(next)) return this.#byte();
            this.#rex = 0;
            break;
          }
          return byte;
      }
    }
  }

  #isPrefix(byte: number): boolean {
    switch (byte) {
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
      case 0x64:
      case 0x65:
      case 0x66:
      case 0x67:
      case 0xf0:
      case 0xf2:
      case 0xf3:
        return true;
      default:
        return (byte & 0xf0) === 0x40;
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
    let hasModrm = false;
    for (const candidate of candidates) if (candidate.row.hasModrm) hasModrm = true;
    // All rows of an opcode agree on ModRM, but in the one-byte map some lose their meaning in 64-bit mode.
    if (hasModrm) {
      if (this.#at >= this.#end) throw outOfBytes;
      this.#modrm = this.#bytes[this.#at]!;
    }
    const found = candidates.find((candidate) => this.#matches(candidate));
    if (found === undefined) return false;
    this.row = found;
    return this.#operands(found);
  }

  #matches({ row, form }: MappedRow): boolean {
    const { prefix, options } = row;
    if (options.mode !== undefined && (options.mode === 'only64') !== (this.#codeSize === 2)) return false;
    if (prefix !== undefined) {
      const present = this.#repeatPrefix !== 0 ? this.#repeatPrefix : this.#operandPrefix ? 0x66 : noPrefix;
      if (prefix !== present) return false;
    }
    if (row.hasModrm) {
      if (row.modrm !== undefined && row.modrm !== this.#modrm) return false;
      if (row.digit !== undefined && row.digit !== ((this.#modrm >> 3) & 7)) return false;
      if (form !== undefined && (form === 'reg') !== this.#modrm >= 0xc0) return false;
    }
    if (options.b !== undefined && options.b !== (this.#rex & 1)) return false;
    return options.w === undefined || options.w === ((this.#rex >> 3) & 1);
  }

  #size(found: MappedRow): 2 | 4 | 8 {
    const { options, prefix } = found.row;
    if (options.size !== undefined && options.size !== 1) return options.size;
    const narrow = this.#operandPrefix && prefix !== 0x66;
    if (this.#codeSize !== 2) return (this.#codeSize === 0) === narrow ? 4 : 2;
    if (options.size64 === 'always') return 8;
    if ((this.#rex & 8) !== 0) return 8;
    if (narrow) return 2;
    return options.size64 === 'default' ? 8 : 4;
  }

  #operands(found: MappedRow): boolean {
    const { row } = found;
    const size = this.#size(found);
    const codeSize = this.#codeSize;
    this.#addressSize =
      codeSize === 2 ? (this.#addressPrefix ? 4 : 8) : (codeSize === 0) === this.#addressPrefix ? 4 : 2;
    const memory =
      found.hasAbsolute ||
      (row.hasModrm && this.#modrm < 0xc0 && row.modrm === undefined && !this.#ignoresMod(found));
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
    this.segment = this.#segmentOf(layout.DS);
    const repeat: Repeat =
      row.options.repeats === undefined || this.#repeatPrefix === 0
        ? 'none'
        : this.#repeatPrefix === 0xf2
          ? 'repne'
          : 'repe';
    this.#setForm(found, size, memory, repeat);
    if (row.hasModrm) {
      this.#at++;
      if (memory) this.#address();
    }
    for (const spec of row.operands) {
      if (!this.#register(spec)) return false;
    }
    if (found.hasAbsolute) this.#absolute();
    for (const spec of found.immediates) this.#immediate(spec);
    this.length = this.#at - this.#start;
    if (this.ripRelative) this.displacement += this.#offset + this.length;
    if (this.jumpTarget !== undefined) this.jumpTarget += this.#offset + this.length;
    if (row.options.popAddress === true && memory && this.rm === layout.gprOffset(4))
      this.displacement += size;
    // Only now: a fault while the rest of the instruction is fetched comes first.
    return !this.#lock || (row.options.lock === true && memory);
  }

  /** MOV to and from control and debug registers take ModRM.rm as a register whatever mod says. */
  #ignoresMod(found: MappedRow): boolean {
    return found.row.operands.some((spec) => spec.kind === 'C' || spec.kind === 'D');
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

  /** Offset into the state of general register `number` (0 … 15) of `size` bytes; 4 … 7 are AH … BH without REX. */
  #gpr(number: number, size: number): number {
    if (size === 1 && this.#rex === 0 && number >= 4) return layout.gprOffset(number - 4) + 1;
    return layout.gprOffset(number);
  }

  #register(spec: OperandSpec): boolean {
    const size = operandSize(spec, this.form);
    const reg = ((this.#modrm >> 3) & 7) | ((this.#rex & 4) << 1);
    const rm = (this.#modrm & 7) | ((this.#rex & 1) << 3);
    switch (spec.kind) {
      case 'G':
        this.reg = this.#gpr(reg, size);
        return true;
      case 'Z':
        this.reg = this.#gpr((this.row.row.opcode & 7) | ((this.#rex & 1) << 3), size);
        return true;
      case 'V':
        this.reg = layout.xmmOffset(reg);
        return true;
      case 'P':
        this.reg = layout.fpr + 16 * (reg & 7);
        return true;
      case 'S':
        this.reg = reg & 7;
        return this.reg <= layout.GS;
      case 'C':
        this.reg = reg;
        return reg === 0 || (reg >= 2 && reg <= 4) || reg === 8;
      case 'D':
        this.reg = reg;
        return reg < 8;
      case 'T':
        // The x87's opcode as FOP has it (SDM vol. 1, 8.1.9); its low bits are the stack position.
        this.reg = ((this.row.row.opcode & 7) << 8) | this.#modrm;
        return true;
      case 'E':
      case 'R':
        if (!this.form.memory) this.rm = this.#gpr(rm, size);
        return true;
      case 'W':
      case 'U':
        if (!this.form.memory) this.rm = layout.xmmOffset(rm);
        return true;
      case 'Q':
      case 'N':
        if (!this.form.memory) this.rm = layout.fpr + 16 * (rm & 7);
        return true;
      default:
        return true;
    }
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
    const number = this.formNumber;
    const [form, sliding] = slidingForm(this.form, number, slides);
    this.formNumber = sliding;
    const known = this.#forms.get(sliding);
    this.form = known ?? form;
    if (known === undefined) this.#forms.set(sliding, form);
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

  #immediate(spec: OperandSpec): void {
    const { size } = this.form;
    switch (spec.size) {
      case 'b':
        if (spec.kind === 'J') this.jumpTarget = this.#signed8();
        else if (this.row.immediates.length > 1 && spec === this.row.immediates[1]) {
          // ENTER: the nesting level goes above the size.
          this.immediateLow |= this.#byte() << 16;
        } else this.#setImmediate(this.#byte());
        break;
      case 'bv':
        this.#setImmediate(this.#signed8());
        break;
      case 'w':
        this.#setImmediate(this.#u16());
        break;
      case 'z': {
        const value = size === 2 ? (this.#u16() << 16) >> 16 : this.#i32();
        if (spec.kind === 'J') this.jumpTarget = value;
        else {
          this.#setImmediate(value);
          if (size !== 2) this.immediateEnd = this.#at - 1 - this.#start;
        }
        break;
      }
      case 'v':
        if (size === 8) {
          this.immediateLow = this.#i32();
          this.immediateEnd = this.#at - 1 - this.#start;
          this.immediateHigh = this.#i32();
        } else {
          this.#setImmediate(size === 2 ? (this.#u16() << 16) >> 16 : this.#i32());
          if (size !== 2) this.immediateEnd = this.#at - 1 - this.#start;
        }
        break;
      case 'p':
        // Far address: offset, then selector in the upper half.
        this.immediateLow = size === 2 ? this.#u16() : this.#i32();
        this.immediateHigh = this.#u16();
        break;
      default:
        throw new Error(`immediate ${spec.kind}${spec.size} of ${this.row.row.name}`);
    }
  }
}
