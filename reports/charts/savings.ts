/** What merging saves against the number of guests, as the figure of Waldspurger (OSDI 2002) that made it known. */

import type { Study, StudyCell } from '../run.ts';
import { orZero } from '../series.ts';
import { type Setting, type Settings, settingsOf } from '../settings.ts';
import { bytesToMiB, pagesToMiB } from '../units.ts';
import {
  type Chart,
  colourScale,
  dashed,
  inkLine,
  largest,
  type Panel,
  type Part,
  pointerRule,
  type Row,
  type Spec,
  stackLegend,
  ticksAt,
  valueAxis,
} from './chart.ts';

const parts: readonly Part[] = [
  { field: 'merged', label: 'Saved by merging, not zero', colour: 'merged' },
  { field: 'zero', label: 'Saved on pages of zeros', colour: 'zero' },
];

/** See the top of this file. */
export function savingsChart(study: Study): Chart | undefined {
  const settings = settingsOf(study);
  const tables = settings.settings.map((setting) => ({ setting, rows: rowsOf(setting, settings) }));
  const some = (rows: readonly Row[], ...fields: string[]) =>
    rows.some((row) => fields.some((field) => Number(row[field]) > 0));
  // Guests map the zero page without any merging too, for pages that they have only read.
  const merging = tables.filter(
    ({ setting, rows }) => setting.merges && some(rows, 'merged_mib', 'zero_mib'),
  );
  const saving = merging.length > 0 ? merging : tables.filter(({ rows }) => some(rows, 'ideal_mib'));
  if (saving.length === 0) return undefined;
  const idle = tables.filter((each) => !saving.includes(each)).map(({ setting }) => setting.label);
  const all = saving.flatMap(({ rows }) => rows);
  const topOf = (unit: string) =>
    largest(
      all.map((row) =>
        Math.max(Number(row[`merged_${unit}`]) + Number(row[`zero_${unit}`]), Number(row[`ideal_${unit}`])),
      ),
    );
  const x: Spec = {
    field: 'value',
    type: settings.numeric ? 'quantitative' : 'ordinal',
    title: settings.subject,
    ...(settings.numeric
      ? {
          scale: { domain: rangeOf(all), nice: false },
          axis: {
            ...ticksAt([...new Set(all.map((row) => Number(row.value)))].sort((a, b) => a - b)),
            labelOverlap: true,
            format: '~g',
          },
        }
      : { sort: null, axis: { labelAngle: 0 } }),
  };
  const panel = (setting: Setting, rows: readonly Row[], unit: 'mib' | 'percent', title: string): Panel => ({
    title: `${unit === 'mib' ? 'Absolute' : 'Share of the guests’ memory'}${setting.label === '' ? '' : ` · ${setting.label}`}`,
    rows,
    height: 220,
    spec: (theme) => {
      const y = (field: string) => valueAxis(field, title, topOf(unit));
      const fields = parts.map(({ field }) => `${field}_${unit}`);
      const own = parts.map((part, at) => ({ ...part, field: fields[at]! }));
      const stack = {
        transform: [
          { fold: fields, as: ['part', 'size'] },
          { calculate: `indexof(${JSON.stringify(fields)}, datum.part)`, as: 'level' },
        ],
        encoding: {
          x,
          y: { ...y('size'), stack: 'zero' },
          color: colourScale(theme, 'part', own),
          order: { field: 'level', type: 'quantitative' },
        },
      };
      const area = settings.numeric && rows.length > 1;
      return {
        layer: [
          {
            ...stack,
            mark: area
              ? { type: 'area', stroke: theme.background, strokeWidth: 0.6 }
              : { type: 'bar', size: 28, stroke: theme.background, strokeWidth: 0.6 },
          },
          ...inkLine(theme, { x, y: y(`ideal_${unit}`) }, dashed, { points: true }),
          ...(area
            ? [
                {
                  transform: [{ calculate: `datum['${fields[0]}'] + datum['${fields[1]}']`, as: 'saved' }],
                  mark: { type: 'point', filled: true, size: 36, color: theme.ink, opacity: 1 },
                  encoding: { x, y: y('saved') },
                },
              ]
            : []),
          pointerRule(theme, x, [
            { field: 'value', title: settings.subject },
            { field: 'believed_mib', title: 'promised (MiB)', format: ',.0f' },
            { field: 'merged_mib', title: 'merged (MiB)', format: ',.1f' },
            { field: 'merged_percent', title: 'merged (%)', format: '.1f' },
            { field: 'zero_mib', title: 'zero page (MiB)', format: ',.1f' },
            { field: 'zero_percent', title: 'zero page (%)', format: '.1f' },
            { field: 'ideal_mib', title: 'bound (MiB)', format: ',.1f' },
            { field: 'ideal_percent', title: 'bound (%)', format: '.1f' },
          ]),
        ],
      };
    },
  });
  return {
    id: 'savings',
    title: `What merging saves, against the ${settings.subject}`,
    subtitle:
      'Memory saved at the end of each run, in MiB and in % of what the guests were promised' +
      (idle.length > 0 ? `. Nothing was merged with ${idle.join(' or ')}` : ''),
    reading:
      'Each point on the horizontal axis is a run of its own. The areas are what was saved at its end: on pages of zeros, and ' +
      'on all others. The dashed line is the bound, merging of all equal pages at once. If guests have much in ' +
      'common, the share saved rises with their number.',
    legend: [
      { label: 'Bound: all equal pages merged', colour: 'ink', mark: 'dashed' },
      ...stackLegend(parts),
    ],
    columns: 2,
    panels: saving.flatMap(({ setting, rows }) => [
      panel(setting, rows, 'mib', 'memory saved (MiB)'),
      panel(setting, rows, 'percent', 'memory saved (%)'),
    ]),
    table: tables.flatMap(({ setting, rows }) => rows.map((row) => ({ setting: setting.label, ...row }))),
  };
}

/** From zero, with some room to the right of the last point. */
function rangeOf(rows: readonly Row[]): [number, number] {
  return [0, 1.04 * Math.max(...rows.map((row) => Number(row.value)))];
}

function rowsOf(setting: Setting, settings: Settings): Row[] {
  return setting.cells.map((cell) => ({ value: settings.placeOf(cell), ...savingOf(cell) }));
}

function savingOf({ run, folder }: StudyCell): Row {
  const mib = (name: string) => pagesToMiB(orZero(run.samples.last(name)));
  const believed = bytesToMiB(orZero(run.samples.last('believed_bytes')));
  const ideal = run.samples.last('ideal_saved');
  const percent = (part: number) => (believed > 0 ? (100 * part) / believed : 0);
  const idealMib = Number.isFinite(ideal) ? pagesToMiB(ideal) : null;
  return {
    folder,
    believed_mib: believed,
    merged_mib: mib('saved_merged'),
    merged_percent: percent(mib('saved_merged')),
    zero_mib: mib('saved_zero'),
    zero_percent: percent(mib('saved_zero')),
    ideal_mib: idealMib,
    ideal_percent: idealMib === null ? null : percent(idealMib),
  };
}
