/** ksmd: the thread of the host that merges pages, with its scanner and what is measured of merging. */
import type { MergeMemory } from '../memory/merge.ts';
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { MergeMeasures } from './measures.ts';
import { Oracle, type OracleReport } from './oracle.ts';
import type { Scanner } from './scanner.ts';

/** See the top of this file. It sleeps until it is started. */
export class Ksmd implements Stateful {
  readonly name = 'ksmd';
  readonly measures: MergeMeasures;
  readonly scanner: Scanner;
  readonly #oracle: Oracle;
  #started = false;

  /** @param makeScanner makes the scanner over the memory that it is given, which sees what the scanner does */
  constructor(memory: MergeMemory, makeScanner: (memory: MergeMemory) => Scanner) {
    this.measures = new MergeMeasures(memory);
    this.scanner = makeScanner(this.measures);
    this.#oracle = new Oracle(memory);
  }

  /** Lets the scanner work from now on; Linux's scanners also need their knob `run`. */
  start(): void {
    this.#started = true;
  }

  /** When it wants CPU time, in virtual ns: Infinity while it sleeps. */
  get next(): number {
    return this.#started ? this.scanner.next : Number.POSITIVE_INFINITY;
  }

  /** Works for `budget` ns of CPU time at most, at virtual time `now`; gives what it used. */
  run(now: number, budget: number): number {
    this.measures.advance(now);
    return this.scanner.run(now, budget).used;
  }

  /**
   * Asks the oracle at virtual time `now` what could be saved, which takes no virtual time. From sample to sample, the measures follow how
   * long duplicates wait.
   */
  sample(now: number): OracleReport {
    this.measures.advance(now);
    return this.#oracle.sample(this.scanner, this.measures);
  }

  saveState(to: StateWriter): void {
    to.bool(this.#started);
    to.part('measures', this.measures);
    to.part('scanner', this.scanner);
  }

  /** Takes a state up. The memory has taken up its own before. */
  loadState(from: StateReader): void {
    this.#started = from.bool();
    from.part('measures', this.measures);
    from.part('scanner', this.scanner);
  }
}
