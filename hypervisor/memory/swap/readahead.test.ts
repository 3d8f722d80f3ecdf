/** The window of read-ahead follows what a guest uses. */
import test from 'ava';
import { StateReader, StateWriter } from '../../state/state.ts';
import { ReadAhead } from './readahead.ts';

/** The windows of reads in a row, each of a slot and after so many hits since the read before. */
function windows(
  reads: readonly (readonly [slot: number, used: number])[],
  ahead = new ReadAhead(),
): number[] {
  let hits = 0;
  return reads.map(([slot, used]) => {
    hits += used;
    const window = ahead.next(slot, hits, 8);
    ahead.was(window - 1);
    return window;
  });
}

test('who jumps about reads single pages soon', (t) => {
  const reads = [100, 900, 300, 500, 40, 700].map((slot) => [slot, 0] as const);
  t.deepEqual(windows(reads), [8, 4, 2, 1, 1, 1]);
});

test('who goes on from slot to slot, in either direction, reads more and more', (t) => {
  const alone = [100, 900, 300, 500].map((slot) => [slot, 0] as const);
  t.deepEqual(
    windows([...alone, [501, 0], [502, 1], [504, 2], [508, 4], [516, 7]]).slice(3),
    [1, 2, 4, 8, 8, 8],
  );
  t.deepEqual(windows([...alone, [499, 0]]).slice(3), [1, 2]);
});

test('what is used by half keeps the window, less halves it', (t) => {
  t.deepEqual(
    windows([
      [0, 0],
      [8, 4],
      [16, 3],
      [20, 2],
    ]),
    [8, 8, 4, 8],
  );
});

test('where nothing could be read ahead, nothing is known, and the window stays', (t) => {
  const ahead = new ReadAhead();
  for (const slot of [0, 50, 90]) {
    t.is(ahead.next(slot, 0, 8), 8);
    ahead.was(0);
  }
});

test('a window goes on where its state was written down', (t) => {
  const one = new ReadAhead();
  windows(
    [
      [0, 0],
      [50, 0],
      [90, 0],
    ],
    one,
  );
  const to = new StateWriter();
  one.saveState(to);
  const other = new ReadAhead();
  other.loadState(new StateReader(to.finish()));
  for (const each of [one, other])
    t.deepEqual(
      windows(
        [
          [10, 0],
          [11, 0],
          [12, 1],
        ],
        each,
      ),
      [1, 2, 4],
    );
});
