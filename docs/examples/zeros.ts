/**
 * A scanner of one's own, as an example: it looks for pages of zeros and for nothing else, guest after guest, at a steady rate. How far
 * does that get, compared with full same-page merging, at a fraction of the CPU time?
 */
import { type Content, contentOf } from '../../hypervisor/ksm/content.ts';
import { parseUnsigned } from '../../hypervisor/ksm/parse.ts';
import {
  type CreateScanner,
  KnobError,
  type Knobs,
  type KnobValue,
  type Scanner,
  type ScannerOptions,
  type Standing,
  type Turn,
} from '../../hypervisor/ksm/scanner.ts';
import type { MergeSpace } from '../../hypervisor/memory/merge.ts';
import type { StateReader, StateWriter } from '../../hypervisor/state/state.ts';

const nsPerSecond = 1e9;
/** It makes up for pages that were due while it did not run, but for no more than this time, in ns. */
const mostBacklog = 10e6;

/** One knob: how many pages a second are looked at. */
class Rate implements Knobs {
  readonly names = ['pages_per_second'];
  value = 10_000;

  get(name: string): string {
    this.#check(name);
    return String(this.value);
  }

  set(name: string, value: KnobValue): void {
    this.#check(name);
    this.value = Number(parseUnsigned(name, value, 32));
  }

  #check(name: string): void {
    if (name !== 'pages_per_second')
      throw new KnobError('ENOENT', `there is no knob '${name}'; the only one is pages_per_second`);
  }
}

/** See the top of this file. */
class ZeroScanner implements Scanner {
  readonly name = 'zeros';
  readonly knobs = new Rate();
  cpuTime = 0;
  readonly #options: ScannerOptions;
  readonly #content: Content;
  /** The guest and the page that are next. */
  #guest = 0;
  #page = 0;
  /** When the next page is due, and CPU time that is owed from the last turn, in ns. */
  #due = 0;
  #debt = 0;
  #scanned = 0;
  #fullScans = 0;

  constructor(options: ScannerOptions) {
    this.#options = options;
    this.#content = contentOf(options.memory.memory);
  }

  get next(): number {
    if (this.#debt > 0) return 0;
    const idle = this.knobs.value === 0 || this.#options.memory.spaces.length === 0;
    return idle ? Number.POSITIVE_INFINITY : this.#due;
  }

  run(now: number, budget: number): Turn {
    let left = budget - this.#debt;
    this.#debt = 0;
    this.#due = Math.max(this.#due, now - mostBacklog);
    while (left > 0 && this.next <= now + budget - left) {
      const cost = this.#step();
      this.cpuTime += cost;
      left -= cost;
      this.#due += nsPerSecond / this.knobs.value;
    }
    if (left < 0) this.#debt = -left;
    const used = budget - Math.max(left, 0);
    return { used, next: Math.max(this.next, now + used) };
  }

  /** Looks at one page; gives the CPU time that it took. */
  #step(): number {
    const { memory, costs } = this.#options;
    const guest = memory.spaces[this.#guest];
    if (guest === undefined || this.#page >= guest.pageCount) {
      this.#page = 0;
      this.#guest = this.#guest + 1 < memory.spaces.length ? this.#guest + 1 : 0;
      if (this.#guest === 0) this.#fullScans++;
      return costs.ksmPage;
    }
    const page = this.#page++;
    const frame = memory.frameOf(guest, page);
    if (frame === 0 || memory.classOf(frame) !== 'private') return costs.ksmPage;
    this.#scanned++;
    if (this.#content.compare(frame, memory.zeroFrame) !== 0) return costs.ksmPage + costs.ksmCompareStep;
    memory.replace(guest, page, memory.zeroFrame);
    return costs.ksmPage + costs.ksmMerge;
  }

  counters(): Record<string, number> {
    const { spaces } = this.#options.memory;
    return {
      pages_scanned: this.#scanned,
      full_scans: this.#fullScans,
      ksm_zero_pages: spaces.reduce((sum, space) => sum + this.#options.memory.zeroPages(space), 0),
    };
  }

  countersOf(space: MergeSpace): Record<string, number> {
    return { ksm_zero_pages: this.#options.memory.zeroPages(space) };
  }

  standing(): Standing {
    return 'unseen';
  }

  takesMore(frame: number): boolean {
    return frame === this.#options.memory.zeroFrame;
  }

  #numbers(): readonly number[] {
    return [
      this.knobs.value,
      this.cpuTime,
      this.#guest,
      this.#page,
      this.#due,
      this.#debt,
      this.#scanned,
      this.#fullScans,
    ];
  }

  saveState(to: StateWriter): void {
    for (const value of this.#numbers()) to.number(value);
  }

  loadState(from: StateReader): void {
    const [rate, cpuTime, guest, page, due, debt, scanned, fullScans] = this.#numbers().map(() =>
      from.number(),
    ) as [number, number, number, number, number, number, number, number];
    this.knobs.value = rate;
    this.cpuTime = cpuTime;
    this.#guest = guest;
    this.#page = page;
    this.#due = due;
    this.#debt = debt;
    this.#scanned = scanned;
    this.#fullScans = fullScans;
  }
}

/** What the host calls. */
export const createScanner: CreateScanner = (options) => new ZeroScanner(options);
