/** A test memory with a scanner, driven full scan by full scan. */
import { costs } from '../../clock/costs.ts';
import { pageSize } from '../../memory/hostmemory.ts';
import type { MergeSpace } from '../../memory/merge.ts';
import { StateReader, StateWriter } from '../../state/state.ts';
import type { ProfileName } from '../linux/profiles.ts';
import { LinuxScanner } from '../linux/scanner.ts';
import { MergeMeasures } from '../measures.ts';
import type { KnobValue } from '../scanner.ts';
import { TestMemory } from './memory.ts';

/** A page of which each 32-bit word is `value`, but the last is `last`. */
export function pageOf(value: number, last = value): Uint8Array {
  const words = new Uint32Array(pageSize / 4).fill(value);
  words[words.length - 1] = last;
  return new Uint8Array(words.buffer);
}

/** Numbers from a seed: each call gives one below its argument (xorshift, Marsaglia 2003). */
export function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/**
 * Pages of every kind, in any order: zero, equal ones, many equal ones, pairs, ones that differ in a byte at the end or in the
 * middle, unique ones.
 */
export function mixture(seed: number): Uint8Array[] {
  const below = numbers(seed);
  const copies = (count: number, page: Uint8Array) => Array.from({ length: count }, () => page);
  const middle = (value: number) => {
    const page = pageOf(0);
    page[2000] = value;
    return page;
  };
  const pages = [
    ...copies(60, pageOf(0)),
    ...copies(9, pageOf(11)),
    ...copies(600, pageOf(12)),
    ...Array.from({ length: 40 }, (_, i) => pageOf(100 + (i >> 1))),
    ...Array.from({ length: 40 }, (_, i) => pageOf(13, i >> 2)),
    ...Array.from({ length: 30 }, (_, i) => middle(i >> 1)),
    ...Array.from({ length: 150 }, (_, i) => pageOf(1e6 * seed + i)),
  ];
  for (let i = pages.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [pages[i], pages[j]] = [pages[j]!, pages[i]!];
  }
  return pages;
}

/** See the top of this file. */
export class Lab {
  readonly memory: TestMemory;
  scanner: LinuxScanner;
  readonly measures: MergeMeasures | undefined;
  now = 0;

  /** All pages fit in a batch, unless a knob says otherwise. */
  constructor({
    profile = 'linux-6.18',
    frames = 2000,
    knobs = {},
    measured = false,
  }: {
    profile?: ProfileName;
    frames?: number;
    knobs?: Record<string, KnobValue>;
    measured?: boolean;
  } = {}) {
    this.memory = new TestMemory(frames);
    this.measures = measured ? new MergeMeasures(this.memory) : undefined;
    this.scanner = new LinuxScanner(profile, { memory: this.measures ?? this.memory, costs: costs() });
    for (const [name, value] of Object.entries({ pages_to_scan: 1e6, run: 1, ...knobs })) {
      this.scanner.knobs.set(name, value);
    }
  }

  /** Adds a guest whose pages have the given contents; undefined stands for a page that is not touched. */
  guest(pages: readonly (Uint8Array | undefined)[]): MergeSpace {
    const space = this.memory.addSpace(pages.length);
    pages.forEach((page, number) => {
      if (page !== undefined) this.memory.write(space, number, page);
    });
    return space;
  }

  /** Lets ksmd run until it has ended `count` full scans; gives the counters. */
  scan(count = 1): Record<string, number> {
    const goal = this.scanner.counters().full_scans! + count;
    while (this.scanner.counters().full_scans! < goal) {
      this.now = Math.max(this.now, this.scanner.next);
      if (this.now === Number.POSITIVE_INFINITY) throw new Error('ksmd sleeps for ever');
      this.now += this.scanner.run(this.now, 1e6).used;
      this.memory.time = this.now;
    }
    return this.scanner.counters();
  }

  /** Lets ksmd do one batch; gives the counters. */
  batch(): Record<string, number> {
    do {
      this.now = Math.max(this.now, this.scanner.next);
      this.now += this.scanner.run(this.now, 1e6).used;
    } while (this.scanner.next <= this.now);
    this.memory.time = this.now;
    return this.scanner.counters();
  }

  /** The state of the scanner as bytes. */
  save(): Uint8Array {
    const to = new StateWriter();
    this.scanner.saveState(to);
    return to.finish();
  }

  /** Puts a new scanner in the place of the present one, which takes up its state. */
  renew(): void {
    const state = this.save();
    const memory = this.measures ?? this.memory;
    this.scanner = new LinuxScanner(this.scanner.name, { memory, costs: costs() });
    this.load(state);
  }

  /** Gives the scanner a state. */
  load(state: Uint8Array): void {
    this.scanner.loadState(new StateReader(state));
  }
}
