import type { Profiler } from 'node:inspector';
import test from 'ava';
import { type Kind, kinds, sumUp } from './profile.ts';

/** A profile in which each frame, told as `function @ url`, is called by the one of that number, for so many µs. */
function profileOf(
  frames: readonly (readonly [frame: string, caller: number, µs: number])[],
): Profiler.Profile {
  const nodes = frames.map(([frame], id) => {
    const [functionName = '', url = ''] = frame.split(' @ ');
    const callFrame = { functionName, url, scriptId: '0', lineNumber: 0, columnNumber: 0 };
    return { id, callFrame, children: frames.flatMap(([, caller], at) => (caller === id ? [at] : [])) };
  });
  // Each in two samples, as any but the shortest is.
  const samples = [...nodes, ...nodes].map(({ id }) => id);
  const timeDeltas = samples.map((id) => frames[id]![2] / 2);
  return { nodes, startTime: 0, endTime: 0, samples, timeDeltas };
}

function expected(times: Partial<Record<Kind, number>>): Record<Kind, number> {
  return {
    ...(Object.fromEntries(Object.keys(kinds).map((kind) => [kind, 0])) as Record<Kind, number>),
    ...times,
  };
}

const here = 'file:///somewhere';

test('a frame counts by its own name and file, not by what called it', (t) => {
  const profile = profileOf([
    ['(root)', -1, 0],
    [`#run @ ${here}/hypervisor/guest.ts`, 0, 1000],
    ['run @ wasm://wasm/1', 1, 2000],
    ['condition2 @ wasm://wasm/1', 2, 500],
    ['region @ wasm://wasm/2', 2, 4000],
    ['walk @ wasm://wasm/1', 4, 3000],
    ['MOV @ wasm://wasm/3', 2, 6000],
    [`decode @ ${here}/hypervisor/x86/decode/codecache.ts`, 2, 7000],
    [`hot @ ${here}/hypervisor/x86/translate/translator.ts`, 4, 8000],
    [`byte @ ${here}/hypervisor/wasm/bytes.ts`, 8, 1000],
    ['Module', 8, 9000],
    ['(garbage collector)', 8, 10000],
    [`onOutput @ ${here}/bench/peers/ours-process.ts`, 1, 11000],
    ['hash @ wasm://wasm/4', 1, 200],
  ]);
  t.deepEqual(
    sumUp(profile),
    expected({
      ...{ translated: 4, interpreter: 6, paging: 3, core: 2.5, decoder: 7, translator: 9, compile: 9 },
      ...{ garbage: 10, hypervisor: 1.2, rest: 11 },
    }),
  );
});

test('functions of V8 count for their callers; idle time and the profiler itself do not count', (t) => {
  const profile = profileOf([
    ['(root)', -1, 0],
    ['(idle)', 0, 1000],
    ['(program)', 0, 2000],
    ['post @ node:inspector', 0, 3000],
    [`find @ ${here}/hypervisor/x86/translate/templates.ts`, 0, 4000],
    ['get', 4, 5000],
    ['region @ wasm://wasm/2', 0, 0],
    ['wasm-to-js', 6, 6000],
    ['now', 0, 7000],
  ]);
  t.deepEqual(sumUp(profile), expected({ translator: 9, translated: 6, rest: 9 }));
});
