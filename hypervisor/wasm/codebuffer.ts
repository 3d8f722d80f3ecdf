/** Writes instructions of a function body directly as bytes (spec 3.0, chapter 5.4 "Instructions"), where no builder is wanted. */
import { ByteBuffer } from './bytes.ts';
import type { BranchHint } from './emit.ts';
import type { Expectation } from './function.ts';

/** See the top of this file. Loads and stores claim no alignment. */
export class CodeBuffer extends ByteBuffer {
  /** Ascending, by places in the buffer. */
  hints: BranchHint[] = [];

  override clear(): void {
    super.clear();
    this.hints = [];
  }

  /** Says which way the branch that is written next mostly goes. */
  expect(expectation: Expectation): void {
    this.hints.push({ at: this.length, expectation });
  }

  block(): void {
    this.byte(0x02);
    this.byte(0x40);
  }

  loop(): void {
    this.byte(0x03);
    this.byte(0x40);
  }

  if(): void {
    this.byte(0x04);
    this.byte(0x40);
  }

  end(): void {
    this.byte(0x0b);
  }

  get(local: number): void {
    this.byte(0x20);
    this.unsigned(local);
  }

  set(local: number): void {
    this.byte(0x21);
    this.unsigned(local);
  }

  tee(local: number): void {
    this.byte(0x22);
    this.unsigned(local);
  }

  constant32(value: number): void {
    this.byte(0x41);
    this.signed(value);
  }

  constant64(value: number): void {
    this.byte(0x42);
    this.signed(value);
  }

  #memory(code: number, offset: number): void {
    this.byte(code);
    this.byte(0);
    this.unsigned(offset);
  }

  load32(offset: number): void {
    this.#memory(0x28, offset);
  }

  load64(offset: number): void {
    this.#memory(0x29, offset);
  }

  store32(offset: number): void {
    this.#memory(0x36, offset);
  }

  store64(offset: number): void {
    this.#memory(0x37, offset);
  }

  /** An instruction without immediates. */
  op(code: number): void {
    this.byte(code);
  }

  br(depth: number): void {
    this.byte(0x0c);
    this.unsigned(depth);
  }

  brIf(depth: number): void {
    this.byte(0x0d);
    this.unsigned(depth);
  }

  /** br_table: the last depth is for all other indexes. */
  brTable(depths: readonly number[]): void {
    this.byte(0x0e);
    this.unsigned(depths.length - 1);
    for (const depth of depths) this.unsigned(depth);
  }

  /** return_call_indirect through table 0 of a function of type number `type`. */
  returnCallIndirect(type: number): void {
    this.byte(0x13);
    this.unsigned(type);
    this.byte(0);
  }

  call(index: number): void {
    this.byte(0x10);
    this.unsigned(index);
  }

  returnCall(index: number): void {
    this.byte(0x12);
    this.unsigned(index);
  }
}

/** Codes of instructions without immediates. */
export const codes = {
  i32Eq: 0x46,
  i32Ne: 0x47,
  i32LtS: 0x48,
  i32LeS: 0x4c,
  i32GeU: 0x4f,
  i64Ne: 0x52,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32And: 0x71,
  i32Xor: 0x73,
  i32Shl: 0x74,
  i32ShrU: 0x76,
  i64Add: 0x7c,
  i64Sub: 0x7d,
  i64And: 0x83,
  i32WrapI64: 0xa7,
  select: 0x1b,
} as const;
