/** What was measured, and what is made of it: medians, spreads and ratios. */

/** One measurement, or why there is none. */
export interface Sample {
  /** What was measured: a row of the table. */
  readonly measure: string;
  readonly peer: string;
  readonly round: number;
  /** Milliseconds, bytes or a share. */
  readonly value?: number;
  readonly failure?: string;
}

/** Several values in short. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median, least and largest; undefined when there are no values. */
export function spread(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** All that was measured in a session. */
export class Samples {
  readonly all: Sample[] = [];

  add(sample: Sample): void {
    this.all.push(sample);
  }

  /** What was measured so of a peer, by round. */
  values(measure: string, peer: string): Map<number, number> {
    const values = this.all.filter(
      (each) => each.measure === measure && each.peer === peer && each.value !== undefined,
    );
    return new Map(values.map(({ round, value }) => [round, value!]));
  }

  spread(measure: string, peer: string): Spread | undefined {
    return spread([...this.values(measure, peer).values()]);
  }

  /** Why a peer's measurement failed, the first time that it did. */
  failure(measure: string, peer: string): string | undefined {
    return this.all.find(
      (each) => each.measure === measure && each.peer === peer && each.failure !== undefined,
    )?.failure;
  }

  /** Ratios of two peers' values in the rounds in which both were measured. */
  ratios(measure: string, peer: string, to: string): Map<number, number> {
    const others = this.values(measure, to);
    const both = [...this.values(measure, peer)].filter(([round]) => others.has(round));
    return new Map(both.map(([round, value]) => [round, value / others.get(round)!]));
  }

  /** Geometric means of the ratios of several measures, of each round in which there are all. */
  meanRatios(measures: readonly string[], peer: string, to: string): number[] {
    const ratios = measures.map((measure) => this.ratios(measure, peer, to));
    const rounds = [...(ratios[0] ?? new Map<number, number>()).keys()];
    const whole = rounds.filter((round) => ratios.every((each) => each.has(round)));
    return whole.map((round) => {
      const logarithms = ratios.map((each) => Math.log(each.get(round)!));
      return Math.exp(logarithms.reduce((sum, each) => sum + each, 0) / ratios.length);
    });
  }
}
