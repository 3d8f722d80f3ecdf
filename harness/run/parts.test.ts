/** The parts of a run by themselves: latencies, progress. */
import test from 'ava';
import { Latencies } from './latencies.ts';
import { RunProgress } from './progress.ts';

test('the times of faults are those since counting began, by cause and together', (t) => {
  const latencies = new Latencies(['a', 'b']);
  const before = [
    { guest: 0, cause: 'first_touch', buckets: [{ upper: 10, count: 3 }], max: 9 },
    { guest: 1, cause: 'swap_in', buckets: [{ upper: 100, count: 1 }], max: 99 },
  ];
  latencies.startCounting(before);
  const after = [
    { guest: 0, cause: 'first_touch', buckets: [{ upper: 10, count: 5 }], max: 9 },
    { guest: 0, cause: 'cow_break', buckets: [{ upper: 20, count: 1 }], max: 15 },
    {
      guest: 1,
      cause: 'swap_in',
      buckets: [
        { upper: 50, count: 2 },
        { upper: 100, count: 1 },
      ],
      max: 99,
    },
  ];
  t.deepEqual(
    latencies
      .records(after)
      .map(({ scope, kind, cause, distribution: { count, p50_ns, max_ns } }) => [
        scope,
        kind,
        cause,
        count,
        p50_ns,
        max_ns,
      ]),
    [
      ['host', 'fault', 'all', 5, 20, 50],
      ['host', 'fault', 'first_touch', 2, 9, 9],
      ['host', 'fault', 'cow_break', 1, 15, 15],
      // The longest came before counting began: the end of the last range stands for it.
      ['host', 'fault', 'swap_in', 2, 50, 50],
      ['a', 'fault', 'all', 3, 10, 15],
      ['a', 'fault', 'first_touch', 2, 9, 9],
      ['a', 'fault', 'cow_break', 1, 15, 15],
      ['b', 'fault', 'all', 2, 50, 50],
      ['b', 'fault', 'swap_in', 2, 50, 50],
    ],
  );
});

test('what workloads measure is added up by operation', (t) => {
  const latencies = new Latencies(['a', 'b']);
  const line = { workload: 'redis', event: 'latency', at_ns: 0, name: 'get' } as const;
  latencies.addLine(0, { ...line, buckets: [[5, 1]], count: 1, max_ns: 5 });
  latencies.addLine(0, {
    ...line,
    buckets: [
      [5, 1],
      [9, 2],
    ],
    count: 3,
    max_ns: 8,
  });
  latencies.addLine(1, { ...line, name: 'set', buckets: [[7, 1]], count: 1, max_ns: 7 });
  t.like(latencies.records([]), [
    { scope: 'a', cause: 'get', distribution: { count: 4, p50_ns: 5, p99_ns: 8, max_ns: 8 } },
    { scope: 'b', cause: 'set', distribution: { count: 1, max_ns: 7 } },
  ]);
});

/** What a progress of ten steps writes; each step takes a second of wall time. */
function shown(stream: { isTTY?: boolean; columns?: number }, mergedPages?: number): string[] {
  const written: string[] = [];
  let wall = 0;
  const progress = new RunProgress('run', { ...stream, write: (text) => written.push(text) }, () => wall);
  for (let step = 1; step <= 10; step++) {
    wall += 1000;
    progress.update({ time: step * 1e9, duration: 10e9, guestsUp: 2, guests: 4, mergedPages });
  }
  progress.done();
  return written;
}

test('progress is a line that is drawn anew on a terminal', (t) => {
  const written = shown({ isTTY: true, columns: 120 }, 77);
  t.is(
    written[4],
    '\r\x1b[2K[############............] run: 5.0 of 10 s, 2 of 4 guests up, 77 pages merged, about 5 s left',
  );
  t.is(written.at(-1), '\r\x1b[2K');
  const narrow = shown({ isTTY: true, columns: 62 }, 77);
  t.is(narrow[4], '\r\x1b[2Krun: 5.0 of 10 s, 2 of 4 guests up, about 5 s left');
  t.true(shown({ isTTY: true, columns: 40 }).every((text) => text.length <= 39 + '\r\x1b[2K'.length));
});

test('progress is plain lines elsewhere', (t) => {
  const written = shown({});
  t.is(written.length, 10);
  t.is(written[0], 'run: 1.0 of 10 s, 2 of 4 guests up\n');
  t.is(written[4], 'run: 5.0 of 10 s, 2 of 4 guests up, about 5 s left\n');
});
