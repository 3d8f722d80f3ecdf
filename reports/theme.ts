/**
 * Colours of all charts. A colour stands for one technique wherever it appears: what merging saves, the time that
 * ksmd takes for it and the faults that undo it are the same green. Both palettes keep 3:1 contrast with their
 * background (WCAG 2.2, 1.4.11) and stay apart from each other under all three kinds of colour blindness;
 * `theme.test.ts` computes that.
 */

/** What a colour can stand for. */
export interface Theme {
  /** A guest's own memory, the guests' CPU time, first touches. */
  readonly private: string;
  /** Same-page merging: frames, ksmd, copy-on-write breaks. */
  readonly merged: string;
  /** The shared page of zeros. */
  readonly zero: string;
  /** The balloon, and pages that return from it. */
  readonly ballooned: string;
  /** Swap: slots, kswapd, swap-ins. */
  readonly swapped: string;
  /** Free page reporting, and pages that return from it. */
  readonly reported: string;
  /** Time that guests wait for a CPU. */
  readonly steal: string;
  /** What is there and not in use: free frames, idle CPUs, pages never touched. */
  readonly idle: string;
  /** Shades of what is not saved, darkest first. */
  readonly unsaved1: string;
  readonly unsaved2: string;
  readonly unsaved3: string;
  readonly unsaved4: string;
  /** Text, bounds and limits. */
  readonly ink: string;
  /** Text of less weight. */
  readonly muted: string;
  /** Grid lines and frames. */
  readonly grid: string;
  readonly background: string;
  /** Background of what is set off from the page. */
  readonly surface: string;
}

/** A colour by what it stands for. */
export type Colour = keyof Theme;

/** For paper and bright screens; figures in files have this one. */
export const light: Theme = {
  private: '#2e4696',
  merged: '#2ba38a',
  zero: '#735800',
  ballooned: '#bb66e2',
  swapped: '#e66211',
  reported: '#207499',
  steal: '#6b0f2f',
  idle: '#e3e7ec',
  unsaved1: '#7b8694',
  unsaved2: '#9fa9b5',
  unsaved3: '#c0c8d1',
  unsaved4: '#dde2e8',
  ink: '#1b2129',
  muted: '#56616e',
  grid: '#dfe4ea',
  background: '#ffffff',
  surface: '#f5f7f9',
};

/** For dark screens. */
export const dark: Theme = {
  private: '#6480ff',
  merged: '#8de8c8',
  zero: '#f0d545',
  ballooned: '#9f63b6',
  swapped: '#d65a1e',
  reported: '#35b7ee',
  steal: '#d68f98',
  idle: '#2a313a',
  unsaved1: '#929daa',
  unsaved2: '#707b88',
  unsaved3: '#525c68',
  unsaved4: '#3a434d',
  ink: '#e8ecf1',
  muted: '#a3aebb',
  grid: '#2f3741',
  background: '#14181d',
  surface: '#1c2229',
};

/** Colours that tell techniques apart, all of which may meet in one chart. */
export const techniqueColours = [
  'private',
  'merged',
  'zero',
  'ballooned',
  'swapped',
  'reported',
  'steal',
] as const satisfies readonly Colour[];

const names = Object.keys(light) as Colour[];

/** Names the page's CSS variables instead of colours, so that one drawing suits light and dark. */
export const variables: Theme = Object.fromEntries(names.map((name) => [name, `var(--${name})`])) as {
  [name in Colour]: string;
};

/** The declarations of the variables for one palette. */
export function declarations(theme: Theme): string {
  return names.map((name) => `--${name}: ${theme[name]};`).join(' ');
}

/** Vega-Lite's settings that all charts share. */
export function chartConfig(theme: Theme, font: string): Record<string, unknown> {
  const text = { labelColor: theme.muted, titleColor: theme.muted, labelFontSize: 11, titleFontSize: 11 };
  return {
    background: null,
    font,
    padding: 4,
    view: { stroke: null },
    axis: {
      ...text,
      titleFontWeight: 400,
      domainColor: theme.muted,
      tickColor: theme.muted,
      gridColor: theme.grid,
      labelLimit: 220,
      titlePadding: 8,
    },
    axisX: { grid: false, tickCount: 6, labelFlush: true },
    axisY: { tickCount: 5, domain: false, ticks: false },
    title: {
      color: theme.ink,
      subtitleColor: theme.muted,
      fontSize: 15,
      fontWeight: 600,
      subtitleFontSize: 11.5,
      subtitlePadding: 6,
      anchor: 'start',
      frame: 'group',
      offset: 10,
    },
    line: { strokeWidth: 2, strokeJoin: 'round', strokeCap: 'round' },
    text: { color: theme.ink, fontSize: 11 },
    rule: { color: theme.ink },
  };
}
