/**
 * Records the test vectors anew: `node hypervisor/x86/vectors/generate.ts [family …]`.
 *
 * Needs an x86-64 Linux with a C compiler and objdump (the tests that read the vectors need neither). Without arguments, all families.
 * The instructions and states depend on the seed in this file alone; the outcomes are the processor's.
 */
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { formatVersion, type Vector, writeVectors } from './format.ts';
import { disassemble } from './generator/disassemble.ts';
import type { Mode } from './generator/draft.ts';
import { families, sequenceFamilies } from './generator/families/index.ts';
import { type MadeVector, makeVector } from './generator/make.ts';
import { compileRunner, type NativeRunner, processorName } from './generator/native.ts';
import { type Dropped, record } from './generator/record.ts';
import { makeSequence } from './generator/sequence.ts';

const generatorSeed = 1;

// A file's own part of the seeds: vectors of different families have different states.
function fileSeed(name: string): number {
  let hash = generatorSeed;
  for (const character of name) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) & 0xffff;
  return hash * 0x8000;
}

/** What the command can be asked to record. */
interface Recordable {
  name: string;
  counts: Partial<Record<Mode, number>>;
  partialStores: boolean;
  make: (mode: Mode, seed: number, turn: number) => MadeVector;
}

const recordables: readonly Recordable[] = [
  ...families.map((family) => ({
    name: family.name,
    counts: family.counts,
    partialStores: family.partialStores === true,
    make: (mode: Mode, seed: number, turn: number) => makeVector(family, mode, seed, turn),
  })),
  ...sequenceFamilies.map((family) => ({
    name: family.name,
    counts: family.counts,
    partialStores: true,
    make: (mode: Mode, seed: number, turn: number) => makeSequence(family, mode, seed, turn),
  })),
];

function recordFile(runner: NativeRunner, family: Recordable, mode: Mode, count: number): string {
  const name = `${family.name}-${mode}`;
  const layout = mode === 'long' ? 'long' : 'legacy';
  const first = fileSeed(name);
  const made = Array.from({ length: count }, (_, turn) => family.make(mode, first + turn, turn));
  const dropped: Dropped = new Map();
  const recorded = record(runner, layout, made, family.partialStores, dropped);
  const texts = disassemble(
    mode,
    recorded.map(({ code }) => code),
  );
  const vectors: Vector[] = recorded.map((vector, index) => ({ ...vector, text: texts[index]! }));
  const header = { family: name, layout, ...processorName(), seed: generatorSeed } as const;
  const bytes = gzipSync(writeVectors(header, vectors), { level: 9 });
  writeFileSync(new URL(`recorded/${name}.vectors.gz`, import.meta.url), bytes);
  const exceptions = vectors.filter(({ exception }) => exception !== undefined).length;
  const losses = [...dropped].map(([reason, times]) => `, ${times} dropped: ${reason}`).join('');
  return `${name}: ${vectors.length} vectors, ${exceptions} end in an exception, ${bytes.length} bytes${losses}`;
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !recordables.some((family) => family.name === name));
if (unknown.length > 0) {
  const known = recordables.map(({ name }) => name).join(', ');
  process.stderr.write(`generate: no family is named ${unknown.join(', ')}; there are ${known}\n`);
  process.exit(2);
}
const runner = compileRunner();
try {
  process.stdout.write(`format ${formatVersion}, processor ${processorName().processor}\n`);
  for (const family of recordables) {
    if (wanted.length > 0 && !wanted.includes(family.name)) continue;
    for (const [mode, count] of Object.entries(family.counts)) {
      process.stdout.write(`${recordFile(runner, family, mode as Mode, count)}\n`);
    }
  }
} finally {
  runner.close();
}
