/** Two Debian guests on a host with less memory than they use: swap keeps them going, and nothing is lost. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Host } from '../../hypervisor/host.ts';
import { usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { debianFiles, startDebian } from './testing/debian.ts';

/** Random files of 2 MiB, 24 in all, and whether they are what they were, asked twice. */
const script = `
  n=0
  while [ $n -lt 12 ]; do
    n=$((n+1))
    head -c 2097152 /dev/urandom > /tmp/$n
    md5sum /tmp/$n >> /tmp/sums
  done
  md5sum -c /tmp/sums | grep -c OK
  md5sum -c /tmp/sums | grep -c OK`;

test('guests that use twice the memory of their host find what they wrote', async (t) => {
  const files = await debianFiles();
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-swap-'));
  const events: unknown[] = [];
  const host = new Host({
    memory: 112 << 20,
    translate: usualTranslation,
    swap: { file: join(folder, 'swap'), size: 512 << 20, device: 'nvme' },
    onMemoryEvent: (event) => events.push(event),
  });
  t.teardown(() => {
    host.close();
    rmSync(folder, { recursive: true });
  });
  const guests = [0, 1].map((seed) => startDebian(host, files, { script, seed, memory: 256 << 20 }));
  while (
    guests.some(({ status }) => status === undefined) &&
    host.guests.every(({ end }) => end === undefined) &&
    host.time < 30e9
  ) {
    host.run(host.time + 200e6);
    host.pages.check();
  }
  t.deepEqual(
    host.guests.map(({ end }) => end),
    [undefined, undefined],
  );
  t.deepEqual(
    guests.map(({ status, output }) => [status, output]),
    [
      [0, '12\n12\n'],
      [0, '12\n12\n'],
    ],
  );
  t.deepEqual(events, []);
  const used = host.guests.map(({ space }) => space.present + space.swapped);
  t.true(used[0]! + used[1]! > 1.5 * host.pages.books.frames.count, `${used} pages are used`);
  for (const { space, measures } of host.guests) {
    t.true(space.counters.counts.swap_in > 500, `${space.counters.counts.swap_in} pages came back`);
    t.true(measures.stalled > 0);
    t.true(measures.faults.swap_in.count > 0 && measures.faults.swap_in.max >= 90_000);
  }
});
