/** The baselines that come with pagefold and need no download. */
import test from 'ava';
import { microguestImage } from '../../workloads/catalog.ts';
import { runOptions, temporaryFolder } from '../run/testing/micro.ts';
import { baselineNames, readBaseline } from './baseline.ts';
import { checkBaseline } from './check.ts';

for (const name of await baselineNames()) {
  const { baseline } = await readBaseline(name, []);
  const images = Object.keys(baseline.recorded?.images ?? {});
  if (images.some((image) => image !== microguestImage)) continue;
  test(`the baseline ${name} holds`, async (t) => {
    const verdict = await checkBaseline(name, {
      ...runOptions(temporaryFolder(t)),
      update: false,
      runBegins: () => () => {},
      building: () => {},
      now: () => 0,
    });
    t.is(verdict.kind, 'passed', verdict.details.join('\n'));
  });
}
