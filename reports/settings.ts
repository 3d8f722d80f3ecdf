/** The cells of a sweep as points of series: what is varied, and what tells the series apart. */
import {
  parametersText,
  policyOf,
  type Run,
  type Study,
  type StudyCell,
  settingText,
  shortPath,
} from './run.ts';
import type { Colour } from './theme.ts';

/** Cells that differ in what stands on the horizontal axis alone. */
export interface Setting {
  /** What they have in common: `ksm off`, or a policy's name; empty when the sweep has one axis only. */
  readonly label: string;
  readonly colour: Colour;
  /** Whether it merges, and whether it has swap. */
  readonly merges: boolean;
  readonly swap: boolean;
  readonly cells: readonly StudyCell[];
}

/** A study as series. */
export interface Settings {
  /** What is varied along the horizontal axis. */
  readonly subject: string;
  /** Whether that is a number. */
  readonly numeric: boolean;
  readonly placeOf: (cell: StudyCell) => number | string;
  readonly settings: readonly Setting[];
}

/** Number of guests of a run. */
export function guestCount({ data }: Run): number {
  return data.manifest.guests.length;
}

/** Takes a study apart: guests go along the horizontal axis when their number varies, else the first axis does. */
export function settingsOf({ sweep, cells }: Study): Settings {
  const guestsVary = new Set(cells.map(({ run }) => guestCount(run))).size > 1;
  const path = guestsVary ? undefined : sweep.axes[0]?.path;
  const along = (name: string) => (guestsVary ? name.endsWith('.count') : name === path);
  const groups = new Map<string, StudyCell[]>();
  for (const cell of cells) {
    const rest = Object.entries(cell.parameters).filter(([name]) => !along(name));
    const label = policyOf(cell) ?? parametersText(Object.fromEntries(rest));
    groups.set(label, [...(groups.get(label) ?? []), cell]);
  }
  const raw = (cell: StudyCell) =>
    guestsVary || path === undefined ? guestCount(cell.run) : (cell.parameters[path] ?? '–');
  const numeric = cells.every((cell) => typeof raw(cell) === 'number');
  const placeOf = (cell: StudyCell) => {
    const value = raw(cell);
    return typeof value === 'number' ? value : settingText(value);
  };
  return {
    subject: guestsVary || path === undefined ? 'number of guests' : shortPath(path).replaceAll('_', ' '),
    numeric,
    placeOf,
    settings: [...groups].map(([label, own]) => ({
      label,
      colour: policyColour(techniquesOf(own[0]!.run)),
      merges: techniquesOf(own[0]!.run).ksm,
      swap: techniquesOf(own[0]!.run).swap,
      cells: numeric ? own.toSorted((a, b) => Number(placeOf(a)) - Number(placeOf(b))) : own,
    })),
  };
}

/** Which techniques a run's scenario uses. */
export interface Techniques {
  readonly ksm: boolean;
  readonly balloon: boolean;
  readonly swap: boolean;
}

/** See {@link Techniques}. */
export function techniquesOf({ data }: Run): Techniques {
  const { ksm, balloon, swap } = data.manifest.scenario.host;
  return { ksm: ksm !== 'off', balloon: balloon.policy !== 'none', swap: swap !== 'none' };
}

/** The colour of a policy: that of its technique; ink for several, grey for none. Swap is told by filled and hollow. */
export function policyColour({ ksm, balloon }: Omit<Techniques, 'swap'>): Colour {
  if (ksm && balloon) return 'ink';
  return ksm ? 'merged' : balloon ? 'ballooned' : 'unsaved1';
}
