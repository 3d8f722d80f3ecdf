/**
 * Records the test vectors anew: `node hypervisor/x86/vectors/generate.ts [family …]`; without arguments, all families.
 *
 * Needs an x86-64 Linux with a C compiler and objdump; the tests that read the vectors need neither. README.md says what is recorded and
 * what is not.
 */
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { type Vector, writeVectors } from './format.ts';
import { disassemble } from './generator/disassemble.ts';
import { generatorSeed, type VectorFilePlan, vectorFiles } from './generator/files.ts';
import { compileRunner, type NativeRunner, processorName } from './generator/native.ts';
import { type Dropped, record } from './generator/record.ts';

function recordFile(runner: NativeRunner, { name, mode, count, make }: VectorFilePlan): string {
  const layout = mode === 'long' ? 'long' : 'legacy';
  const dropped: Dropped = new Map();
  const recorded = record(
    runner,
    layout,
    Array.from({ length: count }, (_, turn) => make(turn)),
    dropped,
  );
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
const known = [...new Set(vectorFiles.map(({ family }) => family))];
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`generate: no family is named ${unknown.join(', ')}; there are ${known.join(', ')}\n`);
  process.exit(2);
}
const runner = compileRunner();
try {
  for (const plan of vectorFiles) {
    if (wanted.length === 0 || wanted.includes(plan.family))
      process.stdout.write(`${recordFile(runner, plan)}\n`);
  }
} finally {
  runner.close();
}
