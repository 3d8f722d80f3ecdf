/** Charts of all kinds of runs: whole ones, partial ones, and those in which nothing happens. */
import { join } from 'node:path';
import test from 'ava';
import { figureSpec } from '../render/figure.ts';
import { compileChart, drawSvg } from '../render/vega.ts';
import { loadRuns, loadStudy, type Run } from '../run.ts';
import { temporaryFolder } from '../testing/folders.ts';
import { type MadeUp, makeRun } from '../testing/generate.ts';
import { makeDensity, makeSweep } from '../testing/studies.ts';
import { light } from '../theme.ts';
import { runCharts, studyCharts } from './all.ts';
import { type Chart, type Row, type Spec, thin } from './chart.ts';

const folder = temporaryFolder(test);
let made = 0;

/** Runs with figures that are made up. */
async function runsOf(...all: readonly MadeUp[]): Promise<Run[]> {
  const folders: string[] = [];
  for (const each of all)
    folders.push(await makeRun(join(folder, `run-${made++}`), { samples: 24, ...each }));
  return loadRuns(folders);
}

const idsOf = (charts: readonly Chart[]) => charts.map(({ id }) => id);
const chartOf = (charts: readonly Chart[], id: string) => charts.find((chart) => chart.id === id)!;
const sum = (row: Row, fields: readonly string[]) =>
  fields.reduce((total, field) => total + Number(row[field]), 0);

/** Draws each chart, which fails on whatever Vega warns of, and looks at what is in the drawing. */
async function draw(charts: readonly Chart[]): Promise<Map<string, string>> {
  const drawings = new Map<string, string>();
  for (const chart of charts) {
    compileChart(chart.id, figureSpec(chart, true));
    drawings.set(chart.id, await drawSvg(chart.id, compileChart(chart.id, figureSpec(chart, false))));
  }
  return drawings;
}

/** Paths, lines and texts of a drawing's marks, those of the legend among them. */
function marks(svg: string): { shapes: number; texts: number } {
  return {
    shapes: (svg.match(/<(?:path|line|rect)[^>]*(?:fill|stroke)="#[^>]*>/g) ?? []).length,
    texts: (svg.match(/<text/g) ?? []).length,
  };
}

const allCharts = ['believed', 'memory', 'merging', 'guests', 'swap', 'faults', 'application', 'cpu'];

test('a run under pressure has every chart, and each is drawn', async (t) => {
  const charts = runCharts(await runsOf({}));
  t.deepEqual(idsOf(charts), allCharts);
  for (const [id, svg] of await draw(charts)) {
    const { shapes, texts } = marks(svg);
    t.true(shapes >= 5 && texts >= 10, `${id}: ${shapes} shapes, ${texts} texts`);
    t.notRegex(svg, /NaN|undefined|Infinity/, id);
  }
});

const edges: Readonly<Record<string, { made: MadeUp; charts: readonly string[] }>> = {
  'one sample': { made: { samples: 1 }, charts: allCharts.filter((id) => id !== 'swap') },
  'one guest': { made: { guests: 1, hostMiB: 512 }, charts: allCharts.filter((id) => id !== 'swap') },
  'nothing to merge': { made: { alike: false }, charts: allCharts },
  'no technique in use': {
    made: { ksm: false, balloon: false, swap: false },
    charts: allCharts.filter((id) => id !== 'swap'),
  },
  'no oracle': {
    made: { without: ['ideal_saved', 'ideal_saved_nonzero', 'unsaved_volatile', 'unsaved_unscanned'] },
    charts: allCharts,
  },
  'no application': { made: { application: false }, charts: allCharts.filter((id) => id !== 'application') },
  'a run that was interrupted': { made: { interrupted: true }, charts: allCharts },
  'a run that was killed': {
    made: { interrupted: true, killed: true },
    charts: allCharts.filter((id) => id !== 'faults' && id !== 'application'),
  },
  'forty guests': { made: { guests: 40, hostMiB: 4096, samples: 6, swap: false }, charts: ['guests'] },
};

for (const [name, { made, charts: expected }] of Object.entries(edges)) {
  test(name, async (t) => {
    const charts = runCharts(await runsOf(made));
    for (const id of expected) t.true(idsOf(charts).includes(id), id);
    for (const [id, svg] of await draw(charts)) {
      t.true(marks(svg).shapes > 0, id);
      t.notRegex(svg, /NaN|undefined|Infinity/, id);
    }
  });
}

test('a run that was killed before its first sample has no charts', async (t) => {
  const charts = runCharts(await runsOf({ interrupted: true, killed: true, samples: 0 }));
  t.deepEqual(idsOf(charts), []);
});

test('without merging and oracle there is no chart of merging', async (t) => {
  const without = ['ideal_saved', 'ideal_saved_nonzero'];
  t.false(idsOf(runCharts(await runsOf({ ksm: false, without }))).includes('merging'));
});

test('what is stacked adds up', async (t) => {
  const charts = runCharts(await runsOf({}));
  for (const row of chartOf(charts, 'memory').table) {
    const parts = ['private_mib', 'merged_mib', 'swapcache_mib', 'free_mib'];
    t.is(Math.round(sum(row, parts)), 320);
  }
  const backing = ['framed', 'merged', 'zero', 'ballooned', 'swapped', 'reported', 'untouched'];
  for (const row of chartOf(charts, 'believed').table) {
    t.true(
      Math.abs(
        sum(
          row,
          backing.map((part) => `${part}_mib`),
        ) - 1024,
      ) < 0.01,
    );
    t.true(Number(row.framed_mib) <= 320);
  }
  for (const row of chartOf(charts, 'guests').table) {
    const parts = ['private', 'merged', 'zero', 'swapped', 'reported', 'untouched', 'ballooned'];
    t.true(
      Math.abs(
        sum(
          row,
          parts.map((part) => `${part}_mib`),
        ) - 256,
      ) < 0.01,
    );
  }
  for (const row of chartOf(charts, 'cpu').table) {
    t.true(Math.abs(sum(row, ['guests_cpus', 'ksmd_cpus', 'kswapd_cpus', 'idle_cpus']) - 2) < 1e-6);
  }
  for (const row of chartOf(charts, 'merging').table) {
    const parts = ['merged', 'zero', 'unscanned', 'volatile', 'capped', 'ineligible'];
    t.true(
      Math.abs(
        sum(
          row,
          parts.map((part) => `${part}_mib`),
        ) - Number(row.ideal_mib),
      ) < 0.01,
    );
  }
});

test('rates of swap add up to what was written and read, however few samples are drawn', async (t) => {
  const [run] = await runsOf({ samples: 1000, guests: 2, hostMiB: 160 });
  const { panels, table } = chartOf(runCharts([run!]), 'swap');
  t.is(table.length, 1000);
  t.is(panels[0]!.rows.length, 400);
  for (const rows of [table, panels[0]!.rows]) {
    let before = 0;
    let written = 0;
    for (const row of rows) {
      written += Number(row.out_mib_s) * (Number(row.time_s) - before);
      before = Number(row.time_s);
    }
    t.true(Math.abs(written - run!.samples.last('pswpout') / 256) < 0.01);
  }
});

test('a curve of latencies passes through the percentiles of the table', async (t) => {
  const [run] = await runsOf({});
  const { table } = chartOf(runCharts([run!]), 'faults');
  const latency = run!.data.tables.latency;
  for (let row = 0; row < latency.rows; row++) {
    if (latency.names('scope')[row] !== 'host') continue;
    const curve = table.filter(({ cause }) => cause === latency.names('cause')[row]);
    curve.slice(1).forEach((each, at) => {
      t.true(Number(each.share_percent) >= Number(curve[at]!.share_percent));
      t.true(Number(each.time_ns) >= Number(curve[at]!.time_ns));
    });
    for (const [share, column] of [
      [50, 'p50_ns'],
      [99, 'p99_ns'],
    ] as const) {
      const reached = curve.slice(1).find((each) => Number(each.share_percent) >= share - 1e-9)!;
      t.is(reached.time_ns, latency.numbers(column)[row]!);
    }
  }
});

/** The bounds of the axes of a panel's layers. */
function domainsOf(spec: Spec): string[] {
  const found: string[] = [];
  const visit = (value: unknown) => {
    if (value === null || typeof value !== 'object') return;
    for (const [name, part] of Object.entries(value)) {
      const scale = (part as { scale?: { domain?: unknown } } | null)?.scale;
      if ((name === 'x' || name === 'y') && scale?.domain !== undefined) {
        found.push(`${name} ${JSON.stringify(scale.domain)}`);
      }
      visit(part);
    }
  };
  visit(spec);
  return found;
}

test('runs beside each other have the same axes and tell their names', async (t) => {
  const charts = runCharts(await runsOf({ seconds: 60 }, { seconds: 30, ksm: false, hostMiB: 640 }));
  t.deepEqual(idsOf(charts), ['techniques', ...allCharts]);
  for (const { id, panels, columns } of charts) {
    if (id === 'techniques') continue;
    t.true(panels.every(({ title }) => title !== null));
    const kinds = id === 'swap' ? 2 : id === 'cpu' ? 3 : 1;
    for (let kind = 0; kind < kinds; kind++) {
      const same = panels
        .filter((_, at) => at % kinds === kind)
        .map(({ spec }) => [...new Set(domainsOf(spec(light)))]);
      t.true(same.length > 0 && same[0]!.length >= 2);
      for (const domains of same) t.deepEqual(domains, same[0], id);
    }
    t.true(columns >= 2, id);
  }
  await draw(charts);
});

test('a sweep shows savings, waiting and techniques against the number of guests', async (t) => {
  const study = await loadStudy(await makeSweep(join(folder, 'sweep'), [1, 2, 4]));
  const charts = studyCharts(study);
  t.deepEqual(idsOf(charts), ['savings', 'overcommit', 'techniques']);
  const { table, panels, subtitle } = chartOf(charts, 'savings');
  t.deepEqual([...new Set(table.map(({ value }) => value))].sort(), [1, 2, 4]);
  t.deepEqual([...new Set(table.map(({ setting }) => setting))], ['ksm off', 'ksm linux-6.12']);
  // What saves nothing is told in words instead of an empty panel.
  t.is(panels.length, 2);
  t.regex(subtitle, /Nothing was merged with ksm off/);
  const share = table
    .filter(({ setting }) => setting === 'ksm linux-6.12')
    .map((row) => Number(row.merged_percent));
  t.deepEqual(
    share,
    [...share].sort((a, b) => a - b),
  );
  const overcommit = chartOf(charts, 'overcommit');
  const ratios = overcommit.table.map(({ what, guests, ratio }) => [what, guests, ratio]);
  t.deepEqual(ratios[0], ['host faults', 1, 0.25]);
  t.deepEqual(
    overcommit.panels.map(({ rows }) => [...new Set(rows.map(({ what }) => what))]),
    [['host faults'], ['operations']],
  );
  for (const [id, svg] of await draw(charts)) t.true(marks(svg).shapes > 5, id);
});

test('a sweep without numbers along its axis is drawn as bars', async (t) => {
  const study = await loadStudy(await makeSweep(join(folder, 'plain'), [2]));
  const { table } = chartOf(studyCharts(study), 'savings');
  t.deepEqual(
    table.map(({ value }) => value),
    [2, 2],
  );
  const [axis] = study.sweep.axes.splice(0, 1);
  t.is(axis?.path, 'guests.0.count');
  for (const cell of study.cells) delete cell.parameters['guests.0.count'];
  const charts = studyCharts(study);
  t.deepEqual(
    chartOf(charts, 'savings').table.map(({ value }) => value),
    ['off', 'linux-6.12'],
  );
  await draw(charts);
});

test('a density search shows how many guests fit, by policy', async (t) => {
  const charts = studyCharts(await loadStudy(await makeDensity(join(folder, 'density'))));
  t.deepEqual(idsOf(charts), ['density', 'savings', 'overcommit', 'techniques']);
  const { rows } = chartOf(charts, 'density').panels[0]!;
  t.deepEqual(rows.map(({ policy, guests_per_gib }) => [policy, guests_per_gib]).slice(0, 4), [
    ['none', 4],
    ['ksm', 8],
    ['balloon', 6],
    ['ksm+balloon', 10],
  ]);
  t.is(rows.at(-1)!.label, '≥ 12 (6 guests)');
  t.regex(chartOf(charts, 'density').subtitle, /keep fault_p99 ≤ 5 ms, application_p99 ≤ 2 ms/);
  const settings = chartOf(charts, 'overcommit').legend.map(({ label, hollow }) => [label, hollow]);
  t.deepEqual(settings[1], ['ksm', true]);
  t.deepEqual(settings[5], ['ksm+swap', false]);
  await draw(charts);
});

test('thinning keeps the first row and the last', (t) => {
  const rows = Array.from({ length: 1001 }, (_, at) => at);
  t.is(thin(rows, 2000), rows);
  const few = thin(rows, 11);
  t.deepEqual(few, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
});
