/** The tables of a session, in Markdown. */
import type { AbsentPeer, Peer, Setup } from './peer.ts';
import { type Samples, type Spread, spread } from './samples.ts';
import { measures, type Plan } from './session.ts';

/** What the results are of. */
export interface Session {
  readonly own: Peer;
  readonly others: readonly Peer[];
  readonly absent: readonly AbsentPeer[];
  readonly plan: Plan;
  readonly samples: Samples;
}

/** A row: something that takes time on every emulator that can do it. */
export interface TimedRow {
  readonly measure: string;
  readonly title: string;
  /** Whether it takes an emulator that can boot several guests. */
  readonly several: boolean;
}

/** All rows of a plan. */
export function timedRows({ boot, works, together }: Plan): TimedRow[] {
  const one = (measure: string, title: string) => ({ measure, title, several: false });
  return [
    ...(boot
      ? [
          one(measures.boot, 'boot to the shell, from the start of the process'),
          one(measures.bootMachine, 'boot to the shell, from power-on'),
        ]
      : []),
    ...works.map(({ name, title }) => one(name, title)),
    ...together.map((setup) => ({
      measure: measures.together(setup),
      title: `${titleOf(setup)} to the shell, all together`,
      several: true,
    })),
  ];
}

function titleOf({ guests, kaslr }: Setup): string {
  return `${guests} guest${guests === 1 ? '' : 's'}${kaslr ? '' : ' (nokaslr)'}`;
}

const lines = (rows: readonly (readonly string[])[]) =>
  rows.map((row) => `| ${row.join(' | ')} |\n`).join('');

/** A table; all columns but the first are of figures. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return lines([head, head.map((_, at) => (at === 0 ? '---' : '--:')), ...rows]);
}

const withRange = (of: Spread | undefined, format: (value: number) => string) =>
  of === undefined ? '–' : `${format(of.median)} (${format(of.min)}–${format(of.max)})`;

const seconds = (ms: number) => (ms / 1000).toFixed(ms < 10_000 ? 2 : 1);
const ratio = (value: number) => value.toFixed(2);
const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);

/** A cell that says why there is no figure. */
export const failed = (reason: string) => `failed: ${reason.replaceAll(/[|\n\r]+/g, ' ').slice(0, 200)}`;

/** Times of everybody, and how many times each other emulator's time pagefold takes. */
export function timesTable({ own, others, absent, plan, samples }: Session): string {
  const peers = [own, ...others];
  const head = [
    'work, seconds',
    ...peers.map(({ name }) => name),
    ...absent.map(({ name }) => name),
    ...others.map(({ name }) => `${own.name} / ${name}`),
  ];
  const rows = timedRows(plan).map(({ measure, title, several }) => [
    title,
    ...peers.map((peer) => {
      if (several && !peer.several) return '–';
      const failure = samples.failure(measure, peer.name);
      const times = samples.spread(measure, peer.name);
      if (times === undefined && failure !== undefined) return failed(failure);
      return `${withRange(times, seconds)}${failure === undefined ? '' : `; ${failed(failure)}`}`;
    }),
    ...absent.map(() => 'absent'),
    ...others.map(({ name }) =>
      withRange(spread([...samples.ratios(measure, own.name, name).values()]), ratio),
    ),
  ]);
  const cpuBound = plan.works.filter((work) => work.cpuBound).map(({ name }) => name);
  const mean = [
    `geometric mean of ${cpuBound.join(', ')}`,
    ...[...peers, ...absent].map(() => ''),
    ...others.map(({ name }) => withRange(spread(samples.meanRatios(cpuBound, own.name, name)), ratio)),
  ];
  return table(head, cpuBound.length > 1 ? [...rows, mean] : rows);
}

/** Memory of idle guests, all processes together, and what a further guest takes. */
export function memoryTable({ own, others, plan, samples }: Session): string {
  const peers = [own, ...others].filter(({ several }) => several);
  const setups = plan.together.filter(({ kaslr }) => kaslr);
  const rows = peers.flatMap(({ name }) => {
    const of = (kind: (setup: Setup) => string) => setups.map((setup) => samples.spread(kind(setup), name));
    const [memory, pages, free] = [of(measures.memory), of(measures.pages), of(measures.freeFrames)];
    const beyond = memory.map((each, at) =>
      each === undefined || pages[at] === undefined
        ? undefined
        : each.median - pages[at].median - (free[at]?.median ?? 0),
    );
    const row = (title: string, spreads: readonly (Spread | undefined)[]) => [
      `${name}: ${title}`,
      ...spreads.map((each) => withRange(each, megabytes)),
      perFurther(
        setups,
        spreads.map((each) => each?.median),
      ),
    ];
    return [
      row('resident memory', memory),
      row("of it guests' pages", pages),
      ...(free.some((each) => each !== undefined) ? [row('of it free frames', free)] : []),
      [
        `${name}: beyond them`,
        ...beyond.map((each) => (each === undefined ? '–' : megabytes(each))),
        perFurther(setups, beyond),
      ],
    ];
  });
  return table(['idle guests, MiB', ...setups.map(titleOf), 'each further guest'], rows);
}

/** What a further guest adds, between the fewest and the most guests. */
function perFurther(setups: readonly Setup[], values: readonly (number | undefined)[]): string {
  const [first, last] = [values[0], values.at(-1)];
  const more = (setups.at(-1)?.guests ?? 0) - (setups[0]?.guests ?? 0);
  if (first === undefined || last === undefined || more === 0) return '–';
  return ((last - first) / 2 ** 20 / more).toFixed(1);
}

/** What only pagefold has. */
export function ownTable({ own, plan, samples }: Session): string {
  const figures = [
    ...(plan.boot
      ? [[measures.translated, 'part of a boot’s instructions executed in translated code']]
      : []),
    ...(plan.second
      ? [
          [measures.second(true), 'second guest’s boot in the same process, in parts of the first’s'],
          [measures.second(false), 'the same with nokaslr'],
        ]
      : []),
  ] as [string, string][];
  const rows = figures.map(([measure, title]) => {
    const failure = samples.failure(measure, own.name);
    const value = samples.spread(measure, own.name);
    return [
      title,
      value === undefined && failure !== undefined
        ? failed(failure)
        : withRange(value, (each) => each.toFixed(3)),
    ];
  });
  return table([own.name, ''], rows);
}
