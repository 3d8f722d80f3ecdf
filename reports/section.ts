/** The parts of a report: the runs that were named, and each sweep or density search. */
import { runCharts, studyCharts } from './charts/all.ts';
import type { Chart } from './charts/chart.ts';
import { densityLines } from './charts/density.ts';
import { type Figure, figures, figureText } from './figures.ts';
import type { Run, Study } from './run.ts';
import { settingsOf } from './settings.ts';
import { type SummaryLine, summaryOf } from './summary.ts';
import { cellsTable } from './tables/cells.ts';
import { eventsTable } from './tables/events.ts';
import { guestsTable } from './tables/guests.ts';
import { latenciesTable } from './tables/latencies.ts';
import { originTable } from './tables/origin.ts';
import { runsTable } from './tables/runs.ts';
import type { Table } from './tables/table.ts';

/** A summary with a heading, when there are several. */
export interface Summary {
  readonly heading: string | null;
  readonly lines: readonly SummaryLine[];
}

/** A part of a report. */
export interface Section {
  readonly heading: string;
  /** What must be known before all else, such as that a run is partial. */
  readonly warnings: readonly string[];
  /** The figures that matter most. */
  readonly highlights: readonly { readonly label: string; readonly value: string }[];
  readonly summaries: readonly Summary[];
  readonly charts: readonly Chart[];
  /** Tables before the charts, and those after them. */
  readonly leading: readonly Table[];
  readonly trailing: readonly Table[];
}

const isTable = (table: Table | undefined): table is Table => table !== undefined;

const highlights: readonly (readonly [label: string, figure: Figure])[] = [
  ['guests up', figures.guests],
  ['promised to them', figures.believed],
  ['used of the host, at most', figures.peak],
  ['overcommit ratio', figures.ratio],
  ['saved by merging', figures.merged],
  ['p99 of a wait for memory', figures.p99],
  ['p99 of an operation, worst guest', figures.application],
  ['ksmd, of one CPU', figures.ksmd],
];

/** The part about one run, or several beside each other. */
export function runsSection(runs: readonly Run[]): Section {
  const single = runs.length === 1 ? runs[0] : undefined;
  const partial = runs.filter(({ data }) => !data.manifest.complete);
  return {
    heading: headingOf(runs),
    warnings: partial.map(
      ({ label, data }) =>
        `${single === undefined ? label : 'This run'} is partial: ${data.manifest.reason ?? 'it did not end'}. What it had sampled is shown.`,
    ),
    highlights:
      single === undefined
        ? []
        : highlights
            .map(([label, figure]) => ({ label, value: figureText(figure, figure.of(single)) }))
            .filter(({ value }) => value !== '–'),
    summaries: runs.map((run) => ({
      heading: single === undefined ? run.label : null,
      lines: summaryOf(run),
    })),
    charts: runCharts(runs),
    leading: single === undefined ? [runsTable(runs)] : [],
    trailing: [
      ...(single === undefined ? [] : [runsTable(runs)]),
      latenciesTable(runs),
      guestsTable(runs),
      eventsTable(runs),
      originTable(runs),
    ].filter(isTable),
  };
}

/** The names of the scenarios, and how many runs are compared. */
function headingOf(runs: readonly Run[]): string {
  const names = [...new Set(runs.map(({ data }) => data.manifest.scenario.name))];
  return names.join(' and ') + (runs.length > names.length ? `, ${runs.length} runs compared` : '');
}

/** The part about a sweep or a density search. */
export function studySection(study: Study): Section {
  const { sweep, cells } = study;
  const missing = sweep.cells.length - cells.length;
  const partial = cells.filter(({ run }) => !run.data.manifest.complete).length;
  const first = cells[0]?.run;
  return {
    heading: study.label,
    warnings: [
      ...(missing > 0 ? [`${missing} of ${sweep.cells.length} runs have not been run yet.`] : []),
      ...(partial > 0 ? [`${partial} of ${cells.length} runs are partial.`] : []),
      ...(sweep.kind === 'density' && !sweep.complete
        ? ['The search has not come to its end: policies are missing.']
        : []),
    ],
    highlights: [],
    summaries: [{ heading: null, lines: studySummary(study) }],
    charts: studyCharts(study),
    leading: [],
    trailing: [cellsTable(study), ...(first === undefined ? [] : [originTable([first])])],
  };
}

/** A study in a few lines: what was varied, what fits, what is saved at most and what it costs. */
export function studySummary(study: Study): SummaryLine[] {
  const { sweep, cells } = study;
  if (cells.length === 0) return [{ question: 'Runs', answer: `none of ${sweep.cells.length} yet` }];
  const { subject, settings } = settingsOf(study);
  const named = settings.map(({ label }) => label).filter((label) => label !== '');
  const best = (figure: Figure) => {
    const known = cells
      .map(({ run }) => ({ run, value: figure.of(run) }))
      .filter((each): each is { run: Run; value: number } => each.value !== undefined);
    if (known.length === 0) return 'not known';
    const most = known.reduce((a, b) => (b.value > a.value ? b : a));
    return `${figureText(figure, most.value)} (${most.run.label})`;
  };
  return [
    {
      question: 'Runs',
      answer: `${cells.length} of ${sweep.cells.length}, over the ${subject}${named.length > 0 ? `; ${named.join(', ')}` : ''}`,
    },
    ...densityLines(study),
    { question: 'Most promised', answer: best(figures.believed) },
    { question: 'Highest ratio', answer: best(figures.ratio) },
    { question: 'Most merged', answer: best(figures.merged) },
    { question: 'Longest p99', answer: best(figures.p99) },
    { question: 'Most ksmd', answer: best(figures.ksmd) },
  ];
}
