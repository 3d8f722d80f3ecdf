/** A family of vectors: what is generated, for which modes, how many. */
import type { Flavour } from '../image.ts';
import type { Draft, Mode } from './draft.ts';
import type { Encoding } from './encoding.ts';
import type { Instruction } from './instruction.ts';

/** Single instructions of one subject; each mode gives one file, `name-mode.vectors.gz`. */
export interface Family {
  name: string;
  table: readonly Encoding[];
  /** How many vectors to record for each mode. */
  counts: Partial<Record<Mode, number>>;
  /** Each vector has one of these, in turn. */
  flavours: readonly Flavour[];
  /** Changes the state before the instruction is made: modes of arithmetic, for instance. */
  prepare?: (draft: Draft) => void;
  /** Says what the manual leaves undefined, when the instruction and its state are complete. */
  undefined?: (draft: Draft, instruction: Instruction) => void;
  /** Prefixes that go before the instruction. */
  head?: (draft: Draft) => Uint8Array;
  /** Bytes that follow the instruction, in place of the HLT that fills the code pages. */
  tail?: (draft: Draft) => Uint8Array;
}
