/** A test memory with a scanner, driven full scan by full scan. */
import { costs } from '../../clock/costs.ts';
import { pageSize } from '../../memory/hostmemory.ts';
import type { MergeSpace } from '../../memory/merge.ts';
import { StateReader, StateWriter } from '../../state/state.ts';
import type { ProfileName } from '../linux/profiles.ts';
import { LinuxScanner } from '../linux/scanner.ts';
import type { KnobValue } from '../scanner.ts';
import { TestMemory } from './memory.ts';

/** A page of which each 32-bit word is `value`, but the last is `last`. */
export function pageOf(value: number, last = value): Uint8Array {
  const words = new Uint32Array(pageSize / 4).fill(value);
  words[words.length - 1] = last;
  return new Uint8Array(words.buffer);
}

/** See the top of this file. */
export class Lab {
  readonly memory: TestMemory;
  readonly scanner: LinuxScanner;
  now = 0;

  /** All pages fit in a batch, unless a knob says otherwise. */
  constructor({
    profile = 'linux-6.18',
    frames = 2000,
    knobs = {},
  }: { profile?: ProfileName; frames?: number; knobs?: Record<string, KnobValue> } = {}) {
    this.memory = new TestMemory(frames);
    this.scanner = new LinuxScanner(profile, { memory: this.memory, costs: costs() });
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

  /** The state of the scanner as bytes. */
  save(): Uint8Array {
    const to = new StateWriter();
    this.scanner.saveState(to);
    return to.finish();
  }

  /** Gives the scanner a state. */
  load(bytes: Uint8Array): void {
    this.scanner.loadState(new StateReader(bytes));
  }
}
