/**
 * Guests that check every page they use, on a host with a fraction of their memory: merging, balloons and swap together
 * lose nothing, and when the swap fails, only those pay whose pages are gone. The microguests' version of the scenario `nothing-lost`.
 */
import test from 'ava';
import { DiskFile, type SwapFile } from '../../hypervisor/memory/swap/file.ts';
import { type Run, readRun } from '../../reports/format/read.ts';
import { makeHost } from './hypervisorhost.ts';
import { runText, temporaryFolder } from './testing/micro.ts';

const guests = 8;
const areaPages = (1 + 2 + 1 + 4) * 256;

/** 8 guests of 16 MiB, each with an area of 8 MiB, on a host of 16 MiB. */
function scenario(swap: string): string {
  return `name: nothing-lost-micro
duration: 4s
sample: 250ms
host:
  memory: 16MiB
  cpus: 2
  swap: { size: ${swap}, device: nvme }
  ksm: { pages_to_scan: 500, sleep_millisecs: 20 }
  balloon: { policy: mom }
guests:
  - name: m
    count: ${guests}
    image: microguest
    memory: 16MiB
    stagger: 20ms
    workload:
      name: recipe
      area: [{ zero: 1MiB }, { equal: 2MiB }, { within: 1MiB, groups: 16 }, { unique: 4MiB }]
      rate: 1000
      write_share: 0.3
      check: page
      verify: 1s
`;
}

/** The guests' names with what they found: how often all was verified, and the errors. */
function findings({ workload }: Run): Record<string, { verified: number; errors: number }> {
  const found: Record<string, { verified: number; errors: number }> = {};
  for (const { guest, event, pages, errors } of workload) {
    found[guest] ??= { verified: 0, errors: 0 };
    if (event === 'verified' && pages === areaPages) found[guest].verified++;
    if (event === 'error') found[guest].errors++;
    if (typeof errors === 'number') found[guest].errors += errors;
  }
  return found;
}

test('merging, balloons and swap lose nothing', async (t) => {
  const { folder, result } = await runText(scenario('128MiB'), temporaryFolder(t), { check: true });
  t.true(result.complete);
  const run = await readRun(folder);
  const found = findings(run);
  t.log(found);
  t.log(run.events.filter((e) => !/started|guest_up/.test(e.event)).slice(0, 20));
  const s = run.tables.samples;
  for (const c of ['pages_shared', 'pages_sharing', 'pswpin', 'pswpout', 'saved_ballooned', 'saved_zero']) t.log(c, [...s.numbers(c)].join(' '));
});
