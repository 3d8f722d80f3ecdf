/** A run in ten lines, for a terminal and for the top of the report. */
import { elapsed, figures, figureText } from './figures.ts';
import type { Run } from './run.ts';
import { decimal, percent, threeDigits } from './units.ts';

/** A line of the summary: what it answers, and the answer. */
export interface SummaryLine {
  readonly question: string;
  readonly answer: string;
}

/** The ten lines of a run. */
export function summaryOf(run: Run): SummaryLine[] {
  const { manifest } = run.data;
  const { host } = manifest.scenario;
  const value = (name: keyof typeof figures) => figures[name].of(run);
  const text = (name: keyof typeof figures) => figureText(figures[name], value(name));
  const whole = value('believed') ?? 0;
  const ofWhole = (name: keyof typeof figures) =>
    `${text(name)} (${percent(value(name) ?? 0, whole)} of what they believe)`;
  const time = `${threeDigits(elapsed(run) / 1e9)} s of virtual time`;
  const end = manifest.complete ? time : `${time}; partial: ${manifest.reason ?? 'the run did not end'}`;
  const lost = value('oom');
  return [
    {
      question: 'Guests',
      answer: `${text('guests')} of ${decimal(manifest.guests.length)} up at a time, ${end}`,
    },
    {
      question: 'They believe',
      answer: `${text('believed')}, ${text('ratio')} times the ${text('host')} of the host`,
    },
    {
      question: 'The host used',
      answer: `${text('used')} at the end, ${text('peak')} at most`,
    },
    {
      question: 'Merging saved',
      answer:
        host.ksm === 'off'
          ? 'nothing: ksm is off'
          : ofWhole('merged') +
            (value('achieved') === undefined ? '' : `; with zeros ${text('achieved')} of the bound`),
    },
    { question: 'The zero page saved', answer: ofWhole('zero') },
    {
      question: 'Balloons saved',
      answer:
        (host.balloon.policy === 'none' ? 'nothing: there is no policy' : ofWhole('ballooned')) +
        (value('reported') ? `; reported free: ${text('reported')}` : ''),
    },
    {
      question: 'Swap saved',
      answer:
        host.swap === 'none'
          ? 'nothing: there is none'
          : `${ofWhole('swapped')}; ${text('swapOut')} pages written, ${text('swapIn')} read`,
    },
    {
      question: 'A stall for memory took',
      answer:
        value('p50') === undefined
          ? `an unknown time: ${manifest.complete ? 'there was no host fault' : 'the run ended before it was written'}`
          : `p50 ${text('p50')}, p99 ${text('p99')}, p99.9 ${text('p999')}; in sum ${text('stall')} of vCPU time`,
    },
    {
      question: 'ksmd used',
      answer: `${text('ksmd')} of a CPU, kswapd ${text('kswapd')}; guests waited for a CPU ${text('steal')} of their time`,
    },
    {
      question: 'Bounds',
      answer: boundsText(run) + (lost ? `; ${text('oom')} guests were stopped for want of memory` : ''),
    },
  ];
}

function boundsText({ data }: Run): string {
  const bounds = data.result?.slo ?? [];
  if (bounds.length === 0)
    return Object.keys(data.manifest.scenario.slo ?? {}).length > 0 ? 'not known' : 'none set';
  return bounds
    .map(({ name, bound_ns, value_ns, met }) => {
      const measured = value_ns === null ? 'nothing measured' : figureText({ unit: 'ns' }, value_ns);
      return `${name} ${measured}, ${met ? 'within' : 'NOT within'} ${figureText({ unit: 'ns' }, bound_ns)}`;
    })
    .join('; ');
}

/** The ten lines as text, each with a line feed. */
export function summaryText(run: Run): string {
  const lines = summaryOf(run);
  const width = Math.max(...lines.map(({ question }) => question.length));
  return lines.map(({ question, answer }) => `${question.padEnd(width)}  ${answer}\n`).join('');
}
