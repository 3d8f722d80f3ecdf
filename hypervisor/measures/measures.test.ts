import test from 'ava';
import { load, save } from '../platform/testing/state.ts';
import { Histogram } from './histogram.ts';
import { Integral } from './integral.ts';
import { FAULT_CAUSES, Measures, summary } from './measures.ts';

test('an integral is the sum of values times the seconds for which they held', (t) => {
  const bytes = new Integral();
  t.is(bytes.until(5e9), 0);
  bytes.set(1e9, 4096);
  bytes.set(3e9, 8192);
  bytes.set(3e9, 1024);
  t.is(bytes.until(3e9), 8192);
  t.is(bytes.until(3.5e9), 8192 + 512);
  t.is(bytes.value, 1024);
  t.is(bytes.peak, 8192);
  const other = new Integral();
  load(other, save(bytes));
  t.is(other.until(4e9), bytes.until(4e9));
  t.is(other.peak, 8192);
});

test('a summary has the quantiles that reports show', (t) => {
  const histogram = new Histogram();
  for (let i = 1; i <= 10_000; i++) histogram.record(i % 100 === 0 ? 200 : 100);
  histogram.record(255);
  t.deepEqual(summary(histogram), {
    count: 10_001,
    sum: 9900 * 100 + 100 * 200 + 255,
    p50: 100,
    p90: 100,
    p99: 200,
    p999: 200,
    max: 255,
  });
});

test('times add up, each wait for a CPU is counted, and the sum of guests is that of their figures', (t) => {
  const [first, second, host] = [new Measures(), new Measures(), new Measures()];
  first.faults.swap_in.record(94_000);
  first.stall(90_000);
  first.steal(100);
  first.steal(50);
  second.stall(10);
  second.faults.swap_in.record(8_000_000);
  second.faults.cow_break.record(4000);
  second.memory.saved.set(0, 4096);
  for (const guest of [first, second]) host.add(guest);
  t.is(host.stalled, 90_010);
  t.is(host.stolen, 150);
  t.is(host.waits.count, 2);
  t.deepEqual(
    FAULT_CAUSES.map((cause) => host.faults[cause].count),
    [0, 1, 2, 0, 0],
  );
  t.is(host.faults.swap_in.max, 8_000_000);
  t.is(host.memory.saved.value, 0);
});

test('saved measures go on', (t) => {
  const first = new Measures();
  first.faults.first_touch.record(3600);
  first.stall(1);
  first.steal(2);
  first.memory.swap.set(10, 4096);
  const second = new Measures();
  second.faults.cow_break.record(1);
  load(second, save(first));
  t.deepEqual(save(second), save(first));
});
