/**
 * Content-based page sharing as VMware ESX Server has it (Waldspurger: Memory Resource Management in VMware ESX Server, OSDI 2002,
 * section 4): pages are chosen at random, at a limited rate for each guest, and looked up by the hash of their content.
 *
 * A page whose hash is that of a shared frame is compared and joins it. One whose hash is that of a hint is compared with the hinted
 * page, if that has not changed since, and both share a frame from then on. Otherwise the page is
 * remembered as a hint; it is not write-protected.
 */
import type { Costs } from '../../clock/costs.ts';
import { pageSize } from '../../memory/hostmemory.ts';
import type { MergeMemory, MergeSpace } from '../../memory/merge.ts';
import { StateError, type StateReader, type StateWriter } from '../../state/state.ts';
import { type Content, contentOf } from '../content.ts';
import { parseUnsigned } from '../parse.ts';
import { Random } from '../random.ts';
import {
  KnobError,
  type Knobs,
  type KnobValue,
  type Scanner,
  type ScannerOptions,
  type Standing,
  type Turn,
} from '../scanner.ts';
import { eachTag } from '../tags.ts';
import { ContentTable } from './table.ts';

const nsPerSecond = 1e9;
/** An entry keeps a 16-bit reference count (section 4.2); a frame with so many pages takes no further one. */
const mostReferences = 0xffff;
/** An entry of the hash table takes 16 bytes (section 4.2). */
const entryBytes = 16;
/** How often a page is drawn anew when the one that was drawn has no frame. */
const draws = 16;
/** The scanner makes up for CPU time that it did not get, but for no more than this, in ns. */
const mostBacklog = nsPerSecond;
const knobBits = 32;

/**
 * The rates, by the names and with the defaults of ESX Server 2 (Administration Guide, "Resource Management"): pages a second for
 * each guest, and in all.
 */
class EsxKnobs implements Knobs {
  readonly values: Record<string, number> = { ShareScanVM: 50, ShareScanTotal: 200 };
  readonly names: readonly string[] = Object.keys(this.values);

  get(name: string): string {
    this.#check(name);
    return String(this.values[name]);
  }

  set(name: string, value: KnobValue): void {
    this.#check(name);
    this.values[name] = Number(parseUnsigned(name, value, knobBits));
  }

  #check(name: string): void {
    if (this.names.includes(name)) return;
    throw new KnobError(
      'ENOENT',
      `the scanner esx has no knob '${name}'; its knobs are ${this.names.join(', ')}`,
    );
  }
}

/** What is known of a guest. */
interface Guest {
  readonly space: MergeSpace;
  /** For each page the number of its hint, 0 when it has none. */
  readonly hints: Uint32Array;
  /** Pages that share a frame. */
  merged: number;
}

/** See the top of this file. */
export class EsxScanner implements Scanner {
  readonly name = 'esx';
  readonly knobs = new EsxKnobs();
  cpuTime = 0;
  readonly #memory: MergeMemory;
  readonly #costs: Costs;
  readonly #content: Content;
  readonly #random: Random;
  readonly #table = new ContentTable();
  readonly #guests: Guest[] = [];
  /** Where `Content.hash` puts its result: the two halves, as an index of words. */
  readonly #result: number;
  /** When the next page is due, in ns. */
  #due = 0;
  /** Number of the guest of whom a page is next. */
  #turn = 0;
  #debt = 0;
  #shared = 0;
  #sharing = 0;
  #scanned = 0;
  #staleHints = 0;
  #breaks = 0;

  constructor({ memory, costs, seed }: ScannerOptions) {
    this.#memory = memory;
    this.#costs = costs;
    this.#content = contentOf(memory.memory);
    this.#result = memory.memory.allocate(8, 8) >> 2;
    this.#random = new Random(seed);
    for (const space of memory.spaces) this.#add(space);
    memory.listen({
      spaceAdded: (space) => this.#add(space),
      spaceRemoved: (space) => this.#remove(space),
      dropped: (space, _page, frame, cause, left) => {
        if (frame === memory.zeroFrame) return;
        const guest = this.#guestOf(space.id);
        if (guest !== undefined) guest.merged--;
        if (left > 0) this.#sharing--;
        if (cause === 'write') this.#breaks++;
      },
      released: (_frame, tag) => {
        this.#table.remove(tag);
        this.#shared--;
      },
    });
  }

  #add(space: MergeSpace): void {
    if (!space.mergeable) return;
    this.#guests.push({ space, hints: new Uint32Array(space.pageCount), merged: 0 });
  }

  #remove(space: MergeSpace): void {
    const at = this.#guests.findIndex((guest) => guest.space.id === space.id);
    if (at < 0) return;
    for (const hint of this.#guests[at]!.hints) if (hint !== 0) this.#table.remove(hint);
    this.#guests.splice(at, 1);
    if (at < this.#turn) this.#turn--;
  }

  #guestOf(id: number): Guest | undefined {
    return this.#guests.find((guest) => guest.space.id === id);
  }

  /** Time from one page to the next, in ns. */
  get #interval(): number {
    const { ShareScanVM, ShareScanTotal } = this.knobs.values;
    return nsPerSecond / Math.min(ShareScanTotal!, ShareScanVM! * this.#guests.length);
  }

  get next(): number {
    if (this.#debt > 0) return 0;
    return this.#interval === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : this.#due;
  }

  run(now: number, budget: number): Turn {
    let left = budget - this.#debt;
    this.#debt = 0;
    const interval = this.#interval;
    this.#due = Math.max(this.#due, now - mostBacklog);
    while (left > 0 && interval < Number.POSITIVE_INFINITY && this.#due <= now + budget - left) {
      this.#turn = this.#turn < this.#guests.length ? this.#turn : 0;
      const cost = this.#scan(this.#guests[this.#turn++]!);
      this.cpuTime += cost;
      left -= cost;
      this.#due += interval;
    }
    if (left < 0) this.#debt = -left;
    const used = budget - Math.max(left, 0);
    return { used, next: Math.max(this.next, now + used) };
  }

  /** Looks at a page of a guest, chosen at random; gives the CPU time that it took. */
  #scan(guest: Guest): number {
    const { space } = guest;
    const { ksmPage, ksmChecksum } = this.#costs;
    let page = 0;
    let frame = 0;
    for (let draw = 0; draw < draws && frame === 0; draw++) {
      page = this.#random.below(space.pageCount);
      frame = this.#memory.frameOf(space, page);
    }
    if (frame === 0 || frame === this.#memory.zeroFrame || this.#memory.tagOf(frame) !== 0) return ksmPage;
    this.#scanned++;
    this.#hash(frame);
    const low = this.#memory.memory.u32[this.#result]!;
    const high = this.#memory.memory.u32[this.#result + 1]!;
    const cost = ksmPage + ksmChecksum;

    const table = this.#table;
    const own = guest.hints[page]!;
    if (own !== 0) {
      if (table.low[own] === low && table.high[own] === high) return cost;
      this.#dropHint(own);
      this.#staleHints++;
    }
    const entry = table.find(low, high);
    if (entry === 0) {
      guest.hints[page] = table.add(low, high, space.id, page);
      return cost;
    }
    return (
      cost + (table.frame[entry] !== 0 ? this.#join(guest, page, entry) : this.#meet(guest, page, entry))
    );
  }

  #hash(frame: number): void {
    this.#content.hash(frame, this.#result << 2);
  }

  #dropHint(entry: number): void {
    const guest = this.#guestOf(this.#table.guest[entry]!)!;
    guest.hints[this.#table.page[entry]!] = 0;
    this.#table.remove(entry);
  }

  /** A page has the hash of a shared frame. */
  #join(guest: Guest, page: number, entry: number): number {
    const { ksmCompareStep, ksmMerge } = this.#costs;
    const frame = this.#table.frame[entry]!;
    const own = this.#memory.frameOf(guest.space, page);
    const fits = this.takesMore(frame) && this.#content.compare(own, frame) === 0;
    if (!fits) return ksmCompareStep;
    this.#memory.replace(guest.space, page, frame);
    this.#sharing++;
    guest.merged++;
    return ksmMerge;
  }

  /** A page has the hash that another had when it was scanned. */
  #meet(guest: Guest, page: number, entry: number): number {
    const { ksmChecksum, ksmCompareStep, ksmMerge } = this.#costs;
    const memory = this.#memory;
    const table = this.#table;
    const { space } = guest;
    const other = this.#guestOf(table.guest[entry]!)!;
    const otherPage = table.page[entry]!;
    const low = table.low[entry]!;
    const high = table.high[entry]!;
    const frame = memory.frameOf(other.space, otherPage);
    const usable = frame !== 0 && frame !== memory.zeroFrame && memory.tagOf(frame) === 0;
    if (usable) this.#hash(frame);
    const { u32 } = memory.memory;
    if (!usable || u32[this.#result] !== low || u32[this.#result + 1] !== high) {
      this.#dropHint(entry);
      this.#staleHints++;
      guest.hints[page] = table.add(low, high, space.id, page);
      return ksmChecksum;
    }
    // Equal hashes of different contents: the older hint stays.
    if (this.#content.compare(memory.frameOf(space, page), frame) !== 0) return ksmChecksum + ksmCompareStep;
    other.hints[otherPage] = 0;
    table.frame[entry] = frame;
    memory.share(other.space, otherPage, entry);
    memory.replace(space, page, frame);
    this.#shared++;
    this.#sharing++;
    other.merged++;
    guest.merged++;
    return ksmChecksum + 2 * ksmMerge;
  }

  counters(): Record<string, number> {
    return {
      pages_shared: this.#shared,
      pages_sharing: this.#sharing,
      pages_scanned: this.#scanned,
      hints: this.#table.size - this.#shared,
      stale_hints: this.#staleHints,
      general_profit: this.#sharing * pageSize - this.#table.size * entryBytes,
      cow_ksm: this.#breaks,
    };
  }

  countersOf(space: MergeSpace): Record<string, number> {
    const guest = this.#guestOf(space.id);
    return { ksm_merging_pages: guest?.merged ?? 0 };
  }

  standing(space: MergeSpace, page: number, hash: number): Standing {
    const hint = this.#guestOf(space.id)?.hints[page] ?? 0;
    if (hint === 0) return 'unseen';
    return hash === this.#table.low[hint] ? 'waiting' : 'volatile';
  }

  takesMore(frame: number): boolean {
    return this.#memory.mapCount(frame) < mostReferences;
  }

  saveState(to: StateWriter): void {
    for (const name of this.knobs.names) to.number(this.knobs.values[name]!);
    this.#random.saveState(to);
    for (const value of this.#numbers()) to.number(value);
    this.#table.saveState(to);
    to.list(this.#guests, ({ space, merged }) => {
      to.u32(space.id);
      to.u32(merged);
    });
  }

  /** Takes a state up. The memory has taken up its own before, with the same guests, and the tags of its frames. */
  loadState(from: StateReader): void {
    for (const name of this.knobs.names) this.knobs.values[name] = from.number();
    this.#random.loadState(from);
    const values = this.#numbers().map(() => from.number());
    [this.cpuTime, this.#due, this.#turn, this.#debt, this.#shared, this.#sharing] = values as Numbers;
    [this.#scanned, this.#staleHints, this.#breaks] = values.slice(6) as [number, number, number];
    const table = this.#table;
    table.loadState(from);
    eachTag(this.#memory, (tag, frame) => {
      table.frame[tag] = frame;
    });
    this.#guests.length = 0;
    from.list(() => {
      const id = from.u32();
      const merged = from.u32();
      const space = this.#memory.spaces.find((each) => each.id === id);
      if (space === undefined)
        throw new StateError(`the saved scanner knows guest ${id}, this host does not`);
      this.#guests.push({ space, hints: new Uint32Array(space.pageCount), merged });
    });
    for (const entry of table.entries()) {
      if (table.frame[entry] !== 0) continue;
      const guest = this.#guestOf(table.guest[entry]!);
      if (guest !== undefined) guest.hints[table.page[entry]!] = entry;
    }
  }

  #numbers(): readonly number[] {
    return [
      this.cpuTime,
      this.#due,
      this.#turn,
      this.#debt,
      this.#shared,
      this.#sharing,
      this.#scanned,
      this.#staleHints,
      this.#breaks,
    ];
  }
}

type Numbers = [number, number, number, number, number, number, ...number[]];
