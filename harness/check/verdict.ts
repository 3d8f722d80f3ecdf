/** What a check says: for people, and as JUnit XML for systems that run checks. */
import { formatTime } from '../scenario/units.ts';
import type { Comparison, Moved } from './compare.ts';

/** What has become of the check of one baseline. */
export interface Verdict {
  readonly name: string;
  readonly kind: 'passed' | 'regressed' | 'recorded' | 'left out' | 'could not run';
  /** Lines that say why, or what is to be known. */
  readonly details: readonly string[];
  readonly seconds: number;
}

/** Figures that are listed; a run that went another way moves them all. */
const mostListed = 20;

/** What a comparison means. `exact`: the baseline tolerates nothing. */
export function judge(comparison: Comparison, exact: boolean): Pick<Verdict, 'kind' | 'details'> {
  const { moved, added, since } = comparison;
  const regressed = moved.filter(({ tolerated }) => !tolerated);
  const details = moved.slice(0, mostListed).map(movedText);
  if (moved.length > mostListed) details.push(`… and ${moved.length - mostListed} figures more`);
  if (since !== undefined) {
    details.push(
      `the runs differ since sample ${since.sample}, at ${formatTime(since.time)} of virtual time`,
    );
  }
  if (added.length > 0) {
    const some = added.slice(0, 5).join(', ');
    details.push(`${added.length} figures are new, and not held: ${some}${added.length > 5 ? ', …' : ''}`);
  }
  // A sample on the way may differ though the end is the same: that is a change too, where everything is to be exact.
  const changedOnTheWay = exact && since !== undefined && moved.length === 0;
  return { kind: regressed.length > 0 || changedOnTheWay ? 'regressed' : 'passed', details };
}

function movedText({ figure, was, is, tolerated }: Moved): string {
  if (is === undefined) return `${figure}: was ${was}, is not there any more`;
  const difference = typeof is === 'number' && typeof was === 'number' ? ` (${by(was, is)})` : '';
  return `${figure}: was ${was}, is ${is}${difference}${tolerated ? ', which is tolerated' : ''}`;
}

function by(was: number, is: number): string {
  const sign = (value: number) => (value > 0 ? `+${value}` : `${value}`);
  const difference = sign(Number((is - was).toPrecision(12)));
  return was === 0
    ? difference
    : `${difference}, ${sign(Number(((100 * (is - was)) / Math.abs(was)).toPrecision(3)))} %`;
}

/** The exit status: 1 when a figure regressed, else 2 when something could not be run, else 0. What was left out does not count. */
export function exitStatus(verdicts: readonly Verdict[]): number {
  const kinds = verdicts.map(({ kind }) => kind);
  return kinds.includes('regressed') ? 1 : kinds.includes('could not run') ? 2 : 0;
}

/** A verdict in lines for people. */
export function verdictText({ name, kind, details }: Verdict): string {
  return [`${name}: ${kind}`, ...details.map((line) => `  ${line}`)].map((line) => `${line}\n`).join('');
}

function xml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return (
    text
      .replaceAll(/[&<>"]/g, (character) => entities[character]!)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 has no such characters at all
      .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '?')
  );
}

const elements = {
  passed: 'system-out',
  recorded: 'system-out',
  regressed: 'failure',
  'left out': 'skipped',
  'could not run': 'error',
} as const satisfies Record<Verdict['kind'], string>;

/** All verdicts as JUnit XML: a test case a baseline; one that could not be run is an error, a regression a failure, one that was left out skipped. */
export function junit(verdicts: readonly Verdict[]): string {
  const count = (kind: Verdict['kind']) => verdicts.filter((verdict) => verdict.kind === kind).length;
  const total = verdicts.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(3);
  const cases = verdicts.map(({ name, kind, details, seconds }) => {
    const element = elements[kind];
    const message = element === 'system-out' ? '' : ` message="${xml(details[0] ?? kind)}"`;
    const inner = `<${element}${message}>${xml(details.join('\n'))}</${element}>`;
    return `    <testcase classname="pagefold.check" name="${xml(name)}" time="${seconds.toFixed(3)}">${inner}</testcase>\n`;
  });
  const counts = `tests="${verdicts.length}" failures="${count('regressed')}" errors="${count('could not run')}" skipped="${count('left out')}" time="${total}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${counts}>\n  <testsuite name="pagefold check" ${counts}>\n${cases.join('')}  </testsuite>\n</testsuites>\n`;
}
