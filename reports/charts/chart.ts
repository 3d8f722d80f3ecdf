/**
 * What a chart is made of. A chart says what it shows in words (title, how to read it, legend) and has one panel or
 * several, each a Vega-Lite view of rows. The page draws the panels beside or under each other as the window
 * allows; a file has them all in one figure.
 */
import type { Colour, Theme } from '../theme.ts';

/** What a cell of a row may be; null where nothing is known. */
export type Value = string | number | boolean | null;

/** A row that a panel draws or a table lists. */
export type Row = Readonly<Record<string, Value>>;

/** A part of a Vega-Lite specification. */
export type Spec = Readonly<Record<string, unknown>>;

/** How the legend draws what it names. */
export type LegendMark = 'area' | 'line' | 'dashed' | 'dotted' | PointShape;

/** Shapes of points, as Vega names them. */
export type PointShape = (typeof pointShapes)[number];

/** The shapes in the order in which they are given out. */
export const pointShapes = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down'] as const;

/** An entry of the legend. */
export interface LegendEntry {
  readonly label: string;
  readonly colour: Colour;
  readonly mark: LegendMark;
  /** A point that is not filled. */
  readonly hollow?: boolean;
}

/** One view. */
export interface Panel {
  /** Tells it from the others: a run, a guest; null when it is the only one. */
  readonly title: string | null;
  readonly rows: readonly Row[];
  /** Height of its inside in pixels. */
  readonly height: number;
  /** The view, without data, size and title. */
  readonly spec: (theme: Theme) => Spec;
}

/** A chart. */
export interface Chart {
  /** Name of its files, and its anchor in the page. */
  readonly id: string;
  /** The subject. */
  readonly title: string;
  /** What is drawn, in what unit, over what. */
  readonly subtitle: string;
  /** How to read it, for those who see it for the first time. */
  readonly reading: string;
  readonly legend: readonly LegendEntry[];
  readonly panels: readonly Panel[];
  /** How many panels a figure has in a row; the page may have fewer. */
  readonly columns: number;
  /** Every figure that it draws and those that it left out to stay readable: the CSV file. */
  readonly table: readonly Row[];
}

/** Most points that a line or an area is drawn with. */
const mostPoints = 400;

/** Evenly chosen rows, the first and the last among them, when there are more than can be told apart. */
export function thin<Item>(rows: readonly Item[], most = mostPoints): readonly Item[] {
  if (rows.length <= most) return rows;
  return Array.from({ length: most }, (_, at) => rows[Math.round((at * (rows.length - 1)) / (most - 1))]!);
}

/** The horizontal axis of virtual time; `end` is the last second of all panels, so that they have the same scale. */
export function timeAxis(end: number): Spec {
  return {
    field: 'time_s',
    type: 'quantitative',
    title: 'virtual time (s)',
    scale: { domain: [0, end > 0 ? end : 1], nice: false, zero: true },
  };
}

/** A vertical axis from 0 to `top`, the largest value of all panels. */
export function valueAxis(field: string, title: string, top: number, extra: Spec = {}): Spec {
  return {
    field,
    type: 'quantitative',
    title,
    scale: { domain: [0, top > 0 ? top : 1], nice: true, zero: true },
    ...extra,
  };
}

/** Ticks at just those values: Vega leaves out every other when there are more than it would make. */
export function ticksAt(values: readonly number[]): Spec {
  return { values, tickCount: values.length };
}

/** A line of the box that appears under the pointer. */
export interface TooltipLine {
  readonly field: string;
  readonly title: string;
  /** A format of d3-format; text and numbers that are shown as they are have none. */
  readonly format?: string;
}

/** Tells the time under the pointer. */
export const timeLine: TooltipLine = { field: 'time_s', title: 'time (s)', format: ',.2f' };

/** Tells the sizes of a stack's parts, in MiB, the top part first, as it stands in the chart. */
export function partLines(parts: readonly Part[]): TooltipLine[] {
  return parts.map(({ field, label }) => ({ field, title: `${label} (MiB)`, format: ',.1f' })).reverse();
}

/** What Vega-Lite calls a tooltip. */
export function tooltip(lines: readonly TooltipLine[]): Spec[] {
  return lines.map((line) => ({ ...line, type: line.format === undefined ? 'nominal' : 'quantitative' }));
}

/** A rule that follows the pointer to the nearest row, and shows its figures. `x` is an axis such as {@link timeAxis}. */
export function pointerRule(theme: Theme, x: Spec, lines: readonly TooltipLine[]): Spec {
  return {
    params: [
      {
        name: 'pointer',
        select: {
          type: 'point',
          encodings: ['x'],
          nearest: true,
          on: 'pointermove',
          clear: 'pointerout',
        },
      },
    ],
    mark: { type: 'rule', color: theme.ink, strokeWidth: 1, aria: false },
    encoding: {
      x,
      opacity: { condition: { param: 'pointer', empty: false, value: 0.7 }, value: 0 },
      tooltip: tooltip(lines),
    },
  };
}

/** One part of a stack. */
export interface Part {
  /** The field of the rows that has its size. */
  readonly field: string;
  readonly label: string;
  readonly colour: Colour;
}

/** The parts that have a size in some row; all of them when none has, so that there is something to name. */
export function present(parts: readonly Part[], rows: readonly Row[]): readonly Part[] {
  const found = parts.filter(({ field }) => rows.some((row) => Number(row[field]) > 0));
  return found.length > 0 ? found : parts;
}

/**
 * Areas on top of each other, the first part at the bottom. A single row is drawn as points on a stem, as an
 * area of one row cannot be seen.
 */
export function stackedAreas(
  theme: Theme,
  x: Spec,
  parts: readonly Part[],
  axis: (field: string) => Spec,
  single: boolean,
): Spec {
  return {
    transform: [
      { fold: parts.map(({ field }) => field), as: ['part', 'size'] },
      { calculate: `indexof(${JSON.stringify(parts.map(({ field }) => field))}, datum.part)`, as: 'level' },
    ],
    mark: single
      ? { type: 'bar', size: 24, stroke: theme.background, strokeWidth: 0.5 }
      : { type: 'area', stroke: theme.background, strokeWidth: 0.6, line: false },
    encoding: {
      x,
      y: { ...axis('size'), stack: 'zero' },
      color: colourScale(theme, 'part', parts),
      order: { field: 'level', type: 'quantitative' },
    },
  };
}

/** The colours of parts, by their fields; the legend is drawn apart. */
export function colourScale(theme: Theme, field: string, parts: readonly Part[]): Spec {
  return {
    field,
    type: 'nominal',
    scale: { domain: parts.map((part) => part.field), range: parts.map(({ colour }) => theme[colour]) },
    legend: null,
  };
}

/** Legend of a stack, the top part first, as it stands in the chart. */
export function stackLegend(parts: readonly Part[]): LegendEntry[] {
  return parts.map(({ label, colour }) => ({ label, colour, mark: 'area' as const })).reverse();
}

/** How {@link inkLine} is drawn. */
export interface InkLine {
  readonly interpolate?: 'linear' | 'step-after';
  /** Whether its rows are marked; a line of one row cannot be seen otherwise. */
  readonly points?: boolean;
}

/** Points on a line, in its colour. */
export function pointsOf(color: string): Spec {
  return { color, size: 36, filled: true };
}

/** A line that runs over areas: in ink, on a rim of the background's colour that sets it off from any of them. */
export function inkLine(
  theme: Theme,
  encoding: Spec,
  strokeDash: readonly number[],
  mark: InkLine = {},
): Spec[] {
  const { interpolate = 'linear', points = false } = mark;
  const rim = { type: 'line', color: theme.background, strokeWidth: 4, opacity: 0.55, interpolate };
  const point = points ? pointsOf(theme.ink) : false;
  const line = {
    type: 'line',
    color: theme.ink,
    strokeWidth: 1.6,
    strokeDash,
    strokeCap: 'butt',
    interpolate,
    point,
  };
  return [
    { mark: rim, encoding },
    { mark: line, encoding },
  ];
}

/** A level that does not change: a limit, a size. The field of `axis` is in every row. */
export function level(theme: Theme, axis: Spec, strokeDash: readonly number[] = []): Spec[] {
  const transform = [{ aggregate: [{ op: 'max', field: axis.field, as: axis.field }], groupby: [] }];
  const encoding = { y: axis };
  const rim = { type: 'rule', color: theme.background, strokeWidth: 4, opacity: 0.55 };
  const line = { type: 'rule', color: theme.ink, strokeWidth: 1.6, strokeDash };
  return [
    { transform, mark: rim, encoding },
    { transform, mark: line, encoding },
  ];
}

/** A limit that is drawn across the panel and says what it is. */
export function limit(theme: Theme, y: Spec, value: number, text: string): Spec[] {
  const data = { values: [{ text }] };
  return [
    {
      data,
      mark: { type: 'rule', color: theme.ink, strokeDash: dotted, strokeWidth: 1.4 },
      encoding: { y: at(y, value) },
    },
    {
      data,
      mark: { type: 'text', color: theme.ink, align: 'left', dx: 4, dy: -7, x: 0 },
      encoding: { y: at(y, value), text: { field: 'text', type: 'nominal' } },
    },
  ];
}

/** A place on an axis. */
export function at({ field, ...axis }: Spec, datum: number): Spec {
  return { ...axis, datum };
}

/** Dash of a bound: what could be, or what is promised. */
export const dashed = [6, 4] as const;
/** Dash of a target: what is asked for. */
export const dotted = [2, 3] as const;

/** The largest of some numbers, those that are not known left out; 0 when there is none. */
export function largest(values: Iterable<number>): number {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}
