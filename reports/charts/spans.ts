/** Counters over time as rates: each is the mean over what lies between two samples, so that nothing is lost from their sum. */
import { orZero } from '../series.ts';
import { thin } from './chart.ts';

/** The time from one sample to another. */
export interface Span {
  /** The numbers of the samples; of the first span, `since` is undefined: counters begin with 0. */
  readonly since: number | undefined;
  readonly at: number;
  /** In ns. */
  readonly elapsed: number;
}

/** At most `most` spans, which lie one behind the other from the start of the run on. */
export function spansOf(times: Float64Array, most = 400): Span[] {
  const indices = thin(
    Array.from(times, (_, at) => at),
    most,
  );
  return indices.map((at, order) => {
    const since = order === 0 ? undefined : indices[order - 1]!;
    return { since, at, elapsed: times[at]! - (since === undefined ? 0 : times[since]!) };
  });
}

/** By how much a counter rose in a ns of a span; 0 when nobody knows it. */
export function rise(counter: Float64Array, { since, at, elapsed }: Span): number {
  const change = counter[at]! - (since === undefined ? 0 : counter[since]!);
  return elapsed > 0 ? orZero(change / elapsed) : 0;
}
