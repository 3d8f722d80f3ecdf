import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { readRun, readSweep } from '../../reports/format/read.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { microScenario, runOptions, temporaryFolder } from '../run/testing/micro.ts';
import { loadScenario, parseScenario } from '../scenario/load.ts';
import { type DensityOptions, searchDensity } from './density.ts';
import { policies, policiesNamed, underPolicy } from './policies.ts';
import { largestThat } from './search.ts';

test('the search finds the largest number, asks once for each, and no more than twice the logarithm', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 0, max: 400 }),
      fc.integer({ min: 0, max: 400 }),
      async (most, limit, start) => {
        const asked: number[] = [];
        const found = await largestThat(most, start, async (count) => {
          asked.push(count);
          return count <= limit;
        });
        t.deepEqual(found, { largest: Math.min(most, limit), exact: limit < most });
        t.is(new Set(asked).size, asked.length);
        t.true(asked.every((count) => count >= 1 && count <= most));
        t.true(asked.length <= 2 * Math.ceil(Math.log2(most + 1)) + 1);
      },
    ),
  );
});

test('near its start the search asks for few numbers, and for none far beyond', async (t) => {
  const askedFrom = async (start: number) => {
    const asked: number[] = [];
    await largestThat(64, start, async (count) => {
      asked.push(count);
      return count <= 5;
    });
    return asked;
  };
  t.deepEqual(await askedFrom(1), [1, 2, 4, 8, 6, 5]);
  t.deepEqual(await askedFrom(5), [5, 6]);
  t.deepEqual(await askedFrom(7), [7, 6, 4, 5]);
});

test('eight policies, by name', (t) => {
  t.deepEqual(
    policies.map(({ name }) => name),
    ['none', 'ksm', 'balloon', 'ksm+balloon', 'swap', 'ksm+swap', 'balloon+swap', 'ksm+balloon+swap'],
  );
  t.is(policiesNamed([]), policies);
  t.throws(() => policiesNamed(['ksm+ballon']), {
    instanceOf: UserError,
    message: /did you mean ksm\+balloon\?/,
  });
});

test('a policy takes away what it does not use, and needs what it uses', async (t) => {
  const text = microScenario.replace('cpus: 1', 'cpus: 1, ksm: {}, swap: { size: 1GiB }');
  const { scenario } = (await parseScenario('m.yaml', text, { set: [] })).cells[0]!;
  const [none] = policiesNamed(['none']);
  t.like(underPolicy(scenario, 'm.yaml', none!, 5), {
    host: { ksm: 'off', swap: 'none', balloon: { policy: 'none' } },
    guests: [{ name: 'm', count: 5 }],
  });
  const [both] = policiesNamed(['ksm+swap']);
  t.deepEqual(underPolicy(scenario, 'm.yaml', both!, 2).host, scenario.host);
  const [balloon] = policiesNamed(['balloon']);
  t.throws(() => underPolicy(scenario, 'm.yaml', balloon!, 2), {
    instanceOf: UserError,
    message: /^m\.yaml: host\.balloon: the policy balloon uses it/,
  });
});

/** Searches with the policy none; `runs` are the numbers of guests that were run. */
async function search(out: string, slo: string, more: Partial<DensityOptions> = {}) {
  const loaded = await parseScenario('micro.yaml', `${microScenario}${slo}`, { set: ['duration=400ms'] });
  const runs: number[] = [];
  const { folder, found } = await searchDensity(loaded, {
    ...runOptions(out),
    policies: policiesNamed(['none']),
    most: 3,
    building: () => {},
    runBegins: (_, guests) => {
      runs.push(guests);
      return () => {};
    },
    runEnds: () => {},
    ...more,
  });
  return { folder, found, runs };
}

test('guests that meet the bounds fit up to the limit; runs are kept and not run again', async (t) => {
  const out = temporaryFolder(t);
  const { folder, found, runs } = await search(out, 'slo: { application_p50: 1ms }\n');
  t.deepEqual(runs, [1, 2, 3]);
  t.like(found, [{ policy: 'none', guests: 3, exact: false, host_memory: 64 * 2 ** 20 }]);
  const account = await readSweep(folder);
  t.like(account, { kind: 'density', complete: true, density: found });
  t.deepEqual(account.axes, [
    { path: 'policy', values: ['none'] },
    { path: 'guests.0.count', values: [1, 2, 3] },
  ]);
  for (const { guests, folder: cell } of found[0]!.tried) {
    t.is((await readRun(join(folder, cell))).manifest.guests.length, guests);
  }
  t.deepEqual((await search(out, 'slo: { application_p50: 1ms }\n')).runs, []);
});

test('guests that miss a bound do not fit, and which one is told', async (t) => {
  const { found } = await search(temporaryFolder(t), 'slo: { application_max: 1ns }\n');
  t.like(found, [
    { guests: 0, exact: true, tried: [{ guests: 1, fits: false, missed: ['application_max'] }] },
  ]);
});

test('merging lets more guests fit than there is memory for', async (t) => {
  const loaded = await loadScenario('micro-density', { set: [] });
  const { found } = await searchDensity(loaded, {
    ...runOptions(temporaryFolder(t)),
    policies: policiesNamed(['none', 'ksm']),
    most: 8,
    building: () => {},
    runBegins: () => () => {},
    runEnds: () => {},
  });
  // A guest has 7 MiB and a few pages more, so that four fit into 32 MiB and five do not. Merged, five of these seven are shared by all.
  t.like(found, [
    { policy: 'none', guests: 4, exact: true },
    { policy: 'ksm', guests: 8, exact: false },
  ]);
  const tried = found[0]!.tried.find(({ guests }) => guests === 5)!;
  t.regex(tried.missed.join(), /^micro-\d failed$/);
});

test('a search without bounds, or of a sweep, is refused', async (t) => {
  const out = temporaryFolder(t);
  await t.throwsAsync(() => search(out, ''), { instanceOf: UserError, message: /^micro\.yaml: slo: / });
  const sweep = 'slo: { fault_max: 1ms }\nsweep: { seed: [1] }\n';
  await t.throwsAsync(() => search(out, sweep), { instanceOf: UserError, message: /^micro\.yaml: sweep: / });
});
