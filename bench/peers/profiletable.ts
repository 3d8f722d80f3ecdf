/** What the profiles of a session say, in Markdown. */
import { type Kind, kinds, samplingInterval } from './profile.ts';
import { profiled } from './profiles.ts';
import { measures } from './session.ts';
import { failed, type Session, table } from './table.ts';

/** The paragraphs about where pagefold's time goes: none when the plan has no profiles. */
export function profilePart(session: Session): string[] {
  if (profiled(session.plan).length === 0) return [];
  const { name } = session.own;
  return [
    `Where the time of ${name}'s main thread goes, in per cent, by V8's profiler: a sample each ${samplingInterval} µs, in a run of its ` +
      'own that no time above is from. The boot is from power-on to the shell. Each function counts with the time in itself, not in ' +
      'what it calls; idle time and the threads on which V8 compiles are not in it.',
    profileTable(session),
  ];
}

/** Rows are kinds of work, columns what was done. */
export function profileTable({ own, plan, samples }: Session): string {
  const columns = profiled(plan).map((name) => {
    const times = (Object.keys(kinds) as Kind[]).map(
      (kind) => samples.spread(measures.profile(name, kind), own.name)?.median,
    );
    const sum = times.reduce<number>((total, time) => total + (time ?? 0), 0);
    return {
      name,
      failure: samples.failure(measures.profile(name), own.name),
      shares: times.map((time) => (time === undefined ? '–' : ((100 * time) / sum).toFixed(1))),
      seconds: (sum / 1000).toFixed(2),
    };
  });
  const rows = Object.values(kinds).map((title, at) => [title, ...columns.map(({ shares }) => shares[at]!)]);
  const sums = columns.map(({ failure, seconds }) => (failure === undefined ? seconds : failed(failure)));
  return table(
    ["the main thread's time, %", ...columns.map(({ name }) => name)],
    [...rows, ['seconds', ...sums]],
  );
}
