/** The baselines that come with pagefold and need no download. */
import test from 'ava';
import { microguestImage } from '../../workloads/catalog.ts';
import { readMicroguest } from '../../workloads/microguest/image.ts';
import { countAlike, microguestPages } from '../../workloads/microguest/pages.ts';
import { runOptions, temporaryFolder } from '../run/testing/micro.ts';
import { loadScenario } from '../scenario/load.ts';
import { baselineNames, readBaseline } from './baseline.ts';
import { checkBaseline } from './check.ts';

const baselines = await Promise.all((await baselineNames()).map((name) => readBaseline(name, [])));

for (const { name, baseline } of baselines) {
  const images = Object.keys(baseline.recorded?.images ?? {});
  if (images.some((image) => image !== microguestImage)) continue;
  test(`the baseline ${name} holds`, async (t) => {
    const verdict = await checkBaseline(name, {
      ...runOptions(temporaryFolder(t)),
      update: false,
      named: true,
      runBegins: () => () => {},
      building: () => {},
      now: () => 0,
    });
    t.is(verdict.kind, 'passed', verdict.details.join('\n'));
  });
}

test('the figures of micro-merge are those that can be computed from its recipe', async (t) => {
  const { cells } = await loadScenario('micro-merge', { set: [] });
  const { guests } = cells[0]!.scenario;
  const { workload } = guests[0]!;
  if (workload.name !== 'recipe') throw new Error('micro-merge runs another workload');
  const image = await readMicroguest();
  const alike = countAlike([0, 1, 2].map((number) => microguestPages(image, number, workload.area)));
  // A frame has 256 sharers at most, so the zero pages need more frames than one.
  const more = Math.ceil(alike.zero / 256) - 1;
  const { baseline } = await readBaseline('micro-merge', []);
  const { figures } = baseline.recorded!;
  const recorded = ['pages_shared', 'pages_sharing', 'pages_unshared', 'pages_volatile'];
  t.deepEqual(
    recorded.map((name) => figures[`ksm.${name}`]),
    [alike.shared + more, alike.sharing - more, alike.unshared, 0],
  );
  t.is(figures['host.saved.merged'], alike.sharing - more);
  t.is(figures['host.frames.ksm'], alike.shared + more);
  t.is(figures['host.frames.private'], alike.unshared);
});
