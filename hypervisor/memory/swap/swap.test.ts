/** The swap file, its device in virtual time, and the table of slots. */
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { HostMemory, pageSize } from '../hostmemory.ts';
import { hashPage } from '../pagehash.ts';
import { SwapDevice } from './device.ts';
import { DiskFile } from './file.ts';
import { SwapSlots } from './slots.ts';
import { Swap } from './swap.ts';

const profile = { readLatency: 100_000, writeLatency: 10_000, queueDepth: 2, bandwidth: 4096 * 1e5 };

test('an idle device takes its latency, a busy one lets requests wait', (t) => {
  const device = new SwapDevice(profile);
  t.is(device.submit('read', 4096, 1000), 101_000);
  t.is(device.submit('read', 4096, 1000), 101_000);
  // Both servers are busy.
  t.is(device.submit('read', 4096, 1000), 201_000);
  t.is(device.submit('write', 4096, 500_000), 510_000);
  t.deepEqual(device.counters, {
    reads: 3,
    writes: 1,
    bytesRead: 3 * 4096,
    bytesWritten: 4096,
    readTime: 400_000,
    writeTime: 10_000,
  });
});

test('many bytes take as long as the line needs', (t) => {
  const device = new SwapDevice(profile);
  // 10 µs a page.
  t.is(device.submit('write', 32 * 4096, 0), 320_000);
  t.is(device.submit('write', 4096, 0), 330_000);
  t.is(device.submit('read', 8 * 4096, 1_000_000), 1_100_000);
});

test('pages come back from a real file as they went; what was changed there is noticed', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-swap-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'swap');
  const memory = new HostMemory(64 * pageSize, 8 << 20);
  const file = new DiskFile(path);
  t.is(statSync(path).mode & 0o777, 0o600);
  const swap = new Swap(memory, 100, file, new SwapDevice(profile), hashPage(memory));
  const frames = Array.from({ length: 6 }, (_, i) => memory.framesStart + i * pageSize);
  for (const [i, frame] of frames.entries()) memory.u8.fill(i + 1, frame, frame + pageSize);
  const slots = [4, 5, 6, 20, 21, 50];
  const target = memory.framesStart + 32 * pageSize;
  t.is(swap.write(slots, frames, 0), 60_000);
  for (const [i, slot] of slots.entries()) {
    swap.read(slot, target);
    t.true(memory.u8.subarray(target, target + pageSize).every((byte) => byte === i + 1));
    t.is(readFileSync(path)[slot * pageSize], i + 1);
  }
  file.write(20 * pageSize + 7, [Uint8Array.of(0)]);
  t.throws(() => swap.read(20, target), { name: 'SwapLoss', message: /swap slot 20 .*wrong checksum/ });
  truncateSync(path, 10 * pageSize);
  t.throws(() => swap.read(21, target), { name: 'SwapLoss', message: /cannot be read: the file ends/ });
  swap.close();
  t.throws(() => new DiskFile(join(folder, 'none', 'swap')), { message: /swap file .* cannot make it/ });
});

test('slots are given out in a row, once each, and again when they are free', (t) => {
  const slots = new SwapSlots(new HostMemory(64 * pageSize, 8 << 20), 10);
  const all = Array.from({ length: 10 }, () => slots.allocate());
  t.deepEqual(all, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  t.is(slots.allocate(), -1);
  slots.written(4, 1n);
  for (const slot of [7, 3, 4]) slots.release(slot);
  t.is(slots.free, 3);
  t.deepEqual([slots.allocate(), slots.allocate()], [3, 4]);
  slots.release(4);
  slots.diskFull();
  t.is(slots.free, 1);
  t.deepEqual([slots.allocate(), slots.allocate()], [4, -1]);
  t.throws(() => new SwapSlots(new HostMemory(pageSize, 8 << 20), 2 ** 20 + 1), { instanceOf: RangeError });
});
