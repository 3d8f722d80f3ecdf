/** What a guest leaves that has ended by itself. */
import test from 'ava';
import { readRun } from '../../reports/format/read.ts';
import { contents, runText, temporaryFolder } from '../run/testing/micro.ts';

/** One guest goes on; the kernel of the other finds no program to begin with, panics and starts anew, which ends the guest. */
const scenario = `name: ended
duration: 4s
sample: 2s
host: { memory: 320MiB, cpus: 2 }
guests:
  - { name: stays, image: debian-busybox, memory: 128MiB, workload: idle }
  - { name: ends, image: debian-busybox, memory: 128MiB, append: rdinit=/bin/false, workload: idle }
`;

test('a guest that has ended gives its memory back to the host', async (t) => {
  const { folder } = await runText(scenario, temporaryFolder(t), { check: true });
  const other = await runText(scenario, temporaryFolder(t), { check: true, workers: 2 });
  t.deepEqual(contents(other.folder), contents(folder), 'on a worker, too');
  const { events, tables } = await readRun(folder);
  t.deepEqual(
    events.filter(({ event }) => event === 'guest_ended').map(({ guest, reason }) => [guest, reason]),
    [['ends-1', 'reset']],
  );
  t.deepEqual(tables.guests.names('guest').slice(-2), ['stays-1', 'ends-1']);
  const [stays, ends] = tables.guests.numbers('resident_pages').slice(-2);
  t.true(stays! > 5000);
  t.is(ends, 0);
});
