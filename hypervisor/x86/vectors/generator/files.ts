/** The vector files: which there are, and how the vectors of each are made. */
import type { Mode } from './draft.ts';
import { families, sequenceFamilies } from './families/index.ts';
import { type MadeVector, makeVector } from './make.ts';
import { makeSequence } from './sequence.ts';

/** The seed of all vectors. The instructions and states depend on it alone; the outcomes are the processor's. */
export const generatorSeed = 1;

/** One file, `recorded/<name>.vectors.gz`. */
export interface VectorFilePlan {
  /** Family and mode: `arithmetic-long`. */
  name: string;
  family: string;
  mode: Mode;
  count: number;
  /** Seed of its first vector; the others follow one by one. */
  firstSeed: number;
  /** Makes the vector of a number from 0 to `count` − 1. */
  make: (turn: number) => MadeVector;
}

// A file's own part of the seeds: vectors of different files have different states.
function firstSeed(name: string): number {
  let hash = generatorSeed;
  for (const character of name) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) & 0xffff;
  return hash * 0x8000;
}

function plans(
  family: string,
  counts: Partial<Record<Mode, number>>,
  make: (mode: Mode, seed: number, turn: number) => MadeVector,
): VectorFilePlan[] {
  return Object.entries(counts).map(([key, count]) => {
    const mode = key as Mode;
    const name = `${family}-${mode}`;
    const first = firstSeed(name);
    return { name, family, mode, count, firstSeed: first, make: (turn) => make(mode, first + turn, turn) };
  });
}

/** All files. */
export const vectorFiles: readonly VectorFilePlan[] = [
  ...families.flatMap((family) =>
    plans(family.name, family.counts, (mode, seed, turn) => makeVector(family, mode, seed, turn)),
  ),
  ...sequenceFamilies.flatMap((family) =>
    plans(family.name, family.counts, (mode, seed, turn) => makeSequence(family, mode, seed, turn)),
  ),
];
