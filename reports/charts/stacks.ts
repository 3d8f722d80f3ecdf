/** Memory over time as a stack, a panel a run: what several charts have in common. */
import type { Run } from '../run.ts';
import type { Theme } from '../theme.ts';
import {
  type Panel,
  type Part,
  partLines,
  pointerRule,
  type Row,
  type Spec,
  stackedAreas,
  type TooltipLine,
  thin,
  timeLine,
} from './chart.ts';

/** A run with its rows, one a sample. */
export interface RunRows {
  readonly run: Run;
  readonly rows: readonly Row[];
}

/** How a stack is drawn. */
export interface Stack {
  readonly x: Spec;
  readonly y: (field: string) => Spec;
  readonly parts: readonly Part[];
  /** What is drawn over the stack; `single` when there is one row only. */
  readonly over?: ((theme: Theme, single: boolean) => readonly Spec[]) | undefined;
  /** Figures of what is not a part. */
  readonly lines?: readonly TooltipLine[];
}

/** A panel a run. */
export function stackPanels(tables: readonly RunRows[], stack: Stack): Panel[] {
  return tables.map(({ run, rows }) =>
    stackPanel(tables.length > 1 ? run.label : null, thin(rows), 260, stack),
  );
}

/** One panel. */
export function stackPanel(
  title: string | null,
  rows: readonly Row[],
  height: number,
  { x, y, parts, over = () => [], lines = [] }: Stack,
): Panel {
  const single = rows.length === 1;
  return {
    title,
    rows,
    height,
    spec: (theme) => ({
      layer: [
        stackedAreas(theme, x, parts, y, single),
        ...over(theme, single),
        pointerRule(theme, x, [timeLine, ...lines, ...partLines(parts)]),
      ],
    }),
  };
}

/** The rows of all runs, each with the run's name. */
export function tableOf(tables: readonly RunRows[]): Row[] {
  return tables.flatMap(({ run, rows }) => rows.map((row) => ({ run: run.label, ...row })));
}
