/** For tests of translation: what a decoder has found, in a record without an engine around it. */
import * as codepage from '../codepage.ts';
import type { Decoder } from '../decode/decoder.ts';
import type { RecordViews } from './templates.ts';

/** Writes the operands of the instruction that has been decoded last into the record at an address. */
export function writeOperands({ i32, u16, u8 }: RecordViews, record: number, decoder: Decoder): void {
  u16[(record + codepage.reg) >> 1] = decoder.reg;
  u16[(record + codepage.rm) >> 1] = decoder.rm;
  u16[(record + codepage.index) >> 1] = decoder.index;
  u16[(record + codepage.segment) >> 1] = decoder.segment;
  i32[(record + codepage.displacement) >> 2] = decoder.displacement;
  i32[(record + codepage.immediate) >> 2] = decoder.jumpTarget ?? decoder.immediateLow;
  u8[record + codepage.addressFlags] = decoder.scale | (decoder.stack ? codepage.stackFlag : 0);
}
