/** A run in ten lines, for a terminal and for the top of the report; eleven when its workloads measured themselves. */
import { elapsed, figures, figureText } from './figures.ts';
import { allOperations, latenciesOf } from './latencies.ts';
import type { Run } from './run.ts';
import { decimal, duration, percent, threeDigits } from './units.ts';

/** A line of a summary: what it answers, and the answer. */
export interface SummaryLine {
  readonly question: string;
  readonly answer: string;
}

/** What the ten lines answer. */
const questions = [
  'Guests',
  'They believe',
  'The host used',
  'Merging saved',
  'The zero page saved',
  'Balloons saved',
  'Swap saved',
  'A wait for memory took',
  'ksmd used',
  'Bounds',
] as const;

/** The lines of a run. */
export function summaryOf(run: Run): SummaryLine[] {
  const answers = run.samples.length === 0 ? answersUnsampled(run) : answersOf(run);
  const lines: SummaryLine[] = questions.map((question) => ({ question, answer: answers[question] }));
  const operations = operationsText(run);
  if (operations === '') return lines;
  // Behind what the host measured of the same.
  const place = questions.indexOf('A wait for memory took') + 1;
  return lines.toSpliced(place, 0, { question: 'An operation took', answer: operations });
}

/** What the workloads measured by their guests' clocks; empty when they measured nothing. */
function operationsText(run: Run): string {
  return allOperations(latenciesOf(run))
    .map(({ name, distribution: { p50_ns, p99_ns, p999_ns } }) => {
      const [p50, p99, p999] = [p50_ns, p99_ns, p999_ns].map(duration);
      return `${name} p50 ${p50}, p99 ${p99}, p99.9 ${p999}`;
    })
    .join('; ');
}

type Answers = Readonly<Record<(typeof questions)[number], string>>;

function answersOf(run: Run): Answers {
  const { manifest } = run.data;
  const { host } = manifest.scenario;
  const value = (name: keyof typeof figures) => figures[name].of(run);
  const text = (name: keyof typeof figures) => figureText(figures[name], value(name));
  const saved = (name: keyof typeof figures) =>
    `${text(name)} (${percent(value(name) ?? 0, value('believed') ?? 0)} of what they believe)`;
  const time = `${threeDigits(elapsed(run) / 1e9)} s of virtual time`;
  const end = manifest.complete ? time : `${time}; partial: ${manifest.reason ?? 'the run did not end'}`;
  const bound = value('achieved') === undefined ? '' : `; with zeros ${text('achieved')} of the bound`;
  const reported = value('reported') ? `; reported free: ${text('reported')}` : '';
  const lost = value('oom') ? `; ${text('oom')} guests were stopped for want of memory` : '';
  const ksmd = host.ksm === 'off' ? 'nothing: ksm is off' : `${text('ksmd')} of a CPU`;
  const kswapd = value('kswapd') === undefined ? '' : `, kswapd ${text('kswapd')}`;
  const noStall = manifest.complete ? 'there was no host fault' : 'the run ended before it was written';
  return {
    Guests: `${text('guests')} of ${decimal(manifest.guests.length)} up at a time, ${end}`,
    'They believe': `${text('believed')}, ${text('ratio')} times the ${text('host')} of the host`,
    'The host used': `${text('used')} at the end, ${text('peak')} at most`,
    'Merging saved': host.ksm === 'off' ? 'nothing: ksm is off' : saved('merged') + bound,
    'The zero page saved': saved('zero'),
    'Balloons saved':
      (host.balloon.policy === 'none' ? 'nothing: there is no policy' : saved('ballooned')) + reported,
    'Swap saved':
      host.swap === 'none'
        ? 'nothing: there is none'
        : `${saved('swapped')}; ${text('swapOut')} pages written, ${text('swapIn')} read`,
    'A wait for memory took':
      value('p50') === undefined
        ? `an unknown time: ${noStall}`
        : `p50 ${text('p50')}, p99 ${text('p99')}, p99.9 ${text('p999')}; stalled ${text('stall')} of vCPU time`,
    'ksmd used': `${ksmd}${kswapd}; guests waited for a CPU ${text('steal')} of their time`,
    Bounds: boundsText(run) + lost,
  };
}

/** What can be said of a run that ended before its first sample. */
function answersUnsampled({ data }: Run): Answers {
  const { manifest } = data;
  const unknown = `not known: nothing was sampled (${manifest.reason ?? 'the run did not end'})`;
  const entries = questions.map((question) => [question, unknown]);
  return {
    ...(Object.fromEntries(entries) as Answers),
    Guests: `${decimal(manifest.guests.length)} were to be started`,
  };
}

function boundsText({ data }: Run): string {
  const bounds = data.result?.slo ?? [];
  if (bounds.length === 0) {
    return Object.keys(data.manifest.scenario.slo ?? {}).length > 0 ? 'not known' : 'none set';
  }
  return bounds
    .map(({ name, bound_ns, value_ns, met }) => {
      const measured = value_ns === null ? 'nothing measured' : figureText({ unit: 'ns' }, value_ns);
      return `${name} ${measured}, ${met ? 'within' : 'NOT within'} ${figureText({ unit: 'ns' }, bound_ns)}`;
    })
    .join('; ');
}

/** The ten lines as text, each with a line feed. */
export function summaryText(run: Run): string {
  return linesText(summaryOf(run));
}

/** Lines of a summary as text, the answers below each other. */
export function linesText(lines: readonly SummaryLine[]): string {
  const width = Math.max(...lines.map(({ question }) => question.length));
  return lines.map(({ question, answer }) => `${question.padEnd(width)}  ${answer}\n`).join('');
}
