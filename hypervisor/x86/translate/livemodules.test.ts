import test from 'ava';
import { LiveModules, leaderUsed } from './livemodules.ts';

const [large, small] = [{ name: 'large store' }, { name: 'small store' }];

function fill() {
  const i32 = new Int32Array(1000);
  const live = new LiveModules(i32);
  for (let i = 1; i <= 4; i++) {
    const regions = [
      { page: 5000, bytes: 10 * i },
      { page: 5000 + i, bytes: 1 },
    ];
    live.add({
      store: i === 4 ? small : large,
      entries: { first: 10 * i, count: 2 },
      bytes: 100 * i,
      leaders: [100 * i, 100 * i + 32],
      regions,
    });
  }
  const use = (leader: number) => {
    i32[(leader + leaderUsed) >> 2] = 1;
  };
  return { live, use };
}

test('the coldest module is the one whose regions were not entered since the hand last passed', (t) => {
  const { live, use } = fill();
  t.is(live.bytes, 1000);
  // All are new, which counts as used: the hand goes round once.
  t.is(live.takeColdest()?.entries.first, 10);
  use(200);
  use(332);
  t.is(live.takeColdest()?.entries.first, 40);
  t.is(live.takeColdest()?.entries.first, 20);
  t.is(live.count, 1);
  t.is(live.bytes, 300);
  t.is(live.takeColdest()?.entries.first, 30);
  t.is(live.takeColdest(), undefined);
  t.is(live.bytes, 0);
});

test('regions are counted by their code page', (t) => {
  const { live } = fill();
  t.deepEqual(live.ofPage(5000), { regions: 4, bytes: 100 });
  t.deepEqual(live.ofPage(5002), { regions: 1, bytes: 1 });
  live.takeColdest();
  t.deepEqual(live.ofPage(5000), { regions: 3, bytes: 90 });
  t.deepEqual(live.ofPage(5001), { regions: 0, bytes: 0 });
});

test('the modules of a store are taken out together', (t) => {
  const { live } = fill();
  t.deepEqual(
    live.take(large).map(({ entries }) => entries.first),
    [10, 20, 30],
  );
  t.is(live.count, 1);
  t.is(live.bytes, 400);
  t.deepEqual(live.ofPage(5000), { regions: 1, bytes: 40 });
});
