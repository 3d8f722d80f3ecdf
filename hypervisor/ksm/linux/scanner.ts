/**
 * Same-page merging as Linux's KSM does it: ksmd, its trees and its counters, after one kernel's profile.
 *
 * ksmd wakes, takes `pages_to_scan` pages one after the other, and sleeps for `sleep_millisecs`; the end of a full scan
 * also ends its batch. A batch takes as many turns as its CPU time needs. What is done with a page stands in `visit.ts`.
 *
 * The counters lag behind the truth exactly as Linux's do: a merged page that was written to, or is gone, is counted until ksmd comes by or
 * a search finds its node stale.
 */
import type { Costs } from '../../clock/costs.ts';
import { pageSize } from '../../memory/hostmemory.ts';
import type { MergeMemory, MergeSpace } from '../../memory/merge.ts';
import { StateError, type StateReader, type StateWriter } from '../../state/state.ts';
import { KnobError, type Scanner, type ScannerOptions, type Standing, type Turn } from '../scanner.ts';
import { Advisor } from './advisor.ts';
import { LinuxKnobs, merging, stopped, unmerged } from './knobs.ts';
import { item, itemBytes, listed, node, none, space as spaceFields, unstable } from './layout.ts';
import { Order } from './order.ts';
import { type Profile, type ProfileName, profiles } from './profiles.ts';
import { makeMachine, type Routines } from './routines.ts';
import { loadRecords, saveRecords } from './state.ts';
import { type Guest, Store } from './store.ts';

const nsPerMs = 1e6;
/** What Linux keeps for each scanned page: sizeof(struct ksm_rmap_item) on 64-bit kernels. */
const rmapItemBytes = 64;
/** A batch that did nothing sleeps so long in ns even when `sleep_millisecs` is 0, so that time goes on. */
const leastPeriod = 1000;
/** In place of a page number: the guest's lock is still to be taken. */
const atDoor = -1;

/** See the top of this file. */
export class LinuxScanner implements Scanner {
  readonly name: ProfileName;
  readonly knobs: LinuxKnobs;
  readonly #profile: Profile;
  readonly #memory: MergeMemory;
  readonly #costs: Costs;
  readonly #store: Store;
  readonly #routines: Routines;
  readonly #order = new Order();
  readonly #advisor = new Advisor();
  /** The page of the current guest at which the walk goes on; {@link atDoor} before the guest is looked at. */
  #page = atDoor;
  /** Pages that are left in this batch; -1 when ksmd sleeps. */
  #batch = -1;
  /** Virtual time at which ksmd wakes. */
  #wake = 0;
  /** CPU time in ns that the last page took beyond the budget. */
  #debt = 0;
  #cpuTime = 0;
  #pagesScanned = 0;
  #pagesSkipped = 0;
  #cowKsm = 0;
  #swapInCopies = 0;

  constructor(name: ProfileName, { memory, costs }: Omit<ScannerOptions, 'seed'>) {
    this.name = name;
    this.#profile = profiles[name];
    this.#memory = memory;
    this.#costs = costs;
    this.knobs = new LinuxKnobs(name, this.#profile, {
      runChanged: (run) => {
        if (run === unmerged) this.#unmerge();
      },
      sleepChanged: () => {
        this.#wake = 0;
      },
      advisorChanged: () => this.#advisor.reset(),
      busy: () => this.#store.get('shared') > 0 || !this.#dropStaleNodes(),
    });
    this.#store = new Store(memory.memory);
    const machine = makeMachine(memory.memory, this.#profile, {
      nodeOf: (frame) => this.#nodeOf(frame >>> 0),
      merge: (at, other, number) => this.#merge(at, other, number),
      replace: (at, frame) => this.#replace(at, frame >>> 0),
      moreNodes: () => this.#store.moreNodes(),
    });
    this.#routines = machine.routines;
    this.#store.controlAddress = machine.control;
    this.#setConstants();
    for (const each of memory.spaces) this.#addGuest(each);
    memory.listen({
      spaceAdded: (added) => this.#addGuest(added),
      spaceRemoved: (removed) => this.#removeGuest(removed),
      dropped: (_space, _page, frame, cause) => {
        // Unmerging is done by write faults, so Linux counts it too.
        if ((cause === 'write' || cause === 'unshare') && frame !== memory.zeroFrame) this.#cowKsm++;
      },
      released: (_frame, tag) => this.#store.write(node.frame, this.#store.nodeAt(tag), 0),
      swappedInCopy: () => {
        this.#swapInCopies++;
      },
    });
  }

  #setConstants(): void {
    const { ksmPage, ksmChecksum, ksmCompareStep, ksmCompareEqual, ksmMerge } = this.#costs;
    const store = this.#store;
    const { zeroFrame } = this.#memory;
    store.set('costPage', ksmPage);
    store.set('costChecksum', ksmChecksum);
    store.set('costStep', ksmCompareStep);
    store.set('costEqual', ksmCompareEqual);
    store.set('costMerge', ksmMerge);
    // A step over a hole is a look-up in the page tables, like a step down a tree.
    store.set('costHole', this.#profile.stepsOverHoles ? ksmCompareStep : 0);
    store.set('zeroFrame', zeroFrame);
    store.set('zeroChecksum', Number(BigInt.asUintN(32, this.#routines.hash(zeroFrame))));
  }

  get cpuTime(): number {
    return this.#cpuTime;
  }

  /** True when ksmd has anything to do, now or after its sleep. */
  get #active(): boolean {
    return this.#batch >= 0 || (this.knobs.values.run === merging && this.#order.guests.length > 0);
  }

  get next(): number {
    if (this.#debt > 0) return 0;
    if (!this.#active) return Number.POSITIVE_INFINITY;
    return this.#batch >= 0 ? 0 : this.#wake;
  }

  run(now: number, budget: number): Turn {
    let left = budget - this.#debt;
    this.#debt = 0;
    while (left > 0 && this.#active) {
      if (this.#batch < 0) {
        if (this.#wake > now + budget - left) break;
        this.#batch = this.knobs.values.pagesToScan;
      }
      left = this.#continueBatch(now + budget, left);
    }
    if (left < 0) this.#debt = -left;
    const used = budget - Math.max(left, 0);
    return { used, next: Math.max(this.next, now + used) };
  }

  /** Goes on with the batch until it ends or the time is used up; gives the time that is left, below 0 when the last page took longer. */
  #continueBatch(deadline: number, left: number): number {
    const store = this.#store;
    const order = this.#order;
    const { useZeroPages, maxSharing, smartScan, pruneMs } = this.knobs.values;
    store.set('pagesLeft', this.#batch);
    store.set('timeLeft', left);
    store.set('deadline', deadline);
    store.set('useZeroPages', Number(useZeroPages));
    store.set('maxSharing', maxSharing);
    store.set('smartScan', Number(smartScan));
    store.set('pruneAfter', pruneMs * nsPerMs);
    store.set('scanned', 0);
    store.set('skipped', 0);
    let ended = this.#batch === 0;
    while (!ended && store.get('timeLeft') > 0) {
      const guest = order.current;
      if (guest === undefined) {
        this.#startScan(deadline - store.get('timeLeft'));
        ended = order.guests.length === 0;
        continue;
      }
      if (this.#page === atDoor) {
        store.set('timeLeft', store.get('timeLeft') - this.#costs.ksmPage);
        this.#page = 0;
      }
      this.#page = guest.gone ? guest.space.pageCount : this.#routines.walk(guest.address, this.#page);
      ended = store.get('pagesLeft') === 0;
      if (ended || this.#page < guest.space.pageCount) continue;
      this.#page = atDoor;
      if (guest.gone) this.#bury(guest);
      else order.next();
      if (order.current !== undefined) continue;
      ended = true;
      const rest = store.get('timeLeft');
      this.#endScan(deadline - rest, this.#cpuTime + left - rest);
    }
    this.#pagesScanned += store.get('scanned');
    this.#pagesSkipped += store.get('skipped');
    this.#batch = store.get('pagesLeft');
    const after = store.get('timeLeft');
    this.#cpuTime += left - after;
    if (ended) {
      this.#batch = -1;
      const period = this.knobs.values.sleepMs * nsPerMs;
      this.#wake = deadline - after + (after === left ? Math.max(period, leastPeriod) : period);
    }
    return after;
  }

  #startScan(now: number): void {
    if (this.knobs.values.advisor) this.#advisor.start(now);
    this.#store.set('unstableRoot', 0);
    this.#order.first();
    this.#page = atDoor;
  }

  #endScan(now: number, cpuTime: number): void {
    const { values } = this.knobs;
    if (values.advisor) {
      values.pagesToScan = this.#advisor.stop(now, cpuTime, values.pagesToScan, values);
    }
    this.#store.set('sequence', this.#store.get('sequence') + 1);
  }

  #nodeOf(frame: number): number {
    const tag = this.#memory.tagOf(frame);
    return tag === 0 ? 0 : this.#store.nodeAt(tag);
  }

  /** The frame that a page has for itself; 0 when it has none or may not be merged now. */
  #ownFrame(space: MergeSpace, page: number): number {
    const frame = this.#memory.frameOf(space, page);
    return frame !== 0 && this.#memory.classOf(frame) === 'private' ? frame : 0;
  }

  #merge(at: number, other: number, number: number): number {
    const store = this.#store;
    const memory = this.#memory;
    const own = store.guestOfItem(at).space;
    const ownPage = store.pageOfItem(at);
    const others = store.guestOfItem(other).space;
    const othersPage = store.pageOfItem(other);
    const frame = this.#ownFrame(own, ownPage);
    if (frame === 0 || this.#ownFrame(others, othersPage) === 0) return 0;
    memory.share(own, ownPage, number);
    memory.replace(others, othersPage, frame);
    return 1;
  }

  #replace(at: number, frame: number): number {
    const { space } = this.#store.guestOfItem(at);
    const page = this.#store.pageOfItem(at);
    if (this.#ownFrame(space, page) === 0) return 0;
    this.#memory.replace(space, page, frame);
    return 1;
  }

  #addGuest(added: MergeSpace): void {
    if (added.mergeable) this.#order.add(this.#store.addGuest(added), this.knobs.values.run === unmerged);
  }

  #removeGuest(removed: MergeSpace): void {
    const guest = this.#store.guestOf(removed);
    if (guest === undefined) return;
    this.#store.leaveSlots(guest);
    if (guest === this.#order.current) return;
    if (this.#store.read(spaceFields.items, guest.address) === 0) {
      this.#order.remove(guest);
      this.#store.removeGuest(guest);
    } else this.#order.moveNext(guest);
  }

  /** Ends the items of a guest that has left, and forgets it. */
  #bury(guest: Guest): void {
    this.#store.eachItem(guest, (at) => this.#routines.forget(at));
    this.#order.remove(guest);
    this.#store.removeGuest(guest);
  }

  /** run = 2: every merged page gets a frame of its own again, and ksmd forgets all that it knew. */
  #unmerge(): void {
    this.#batch = -1;
    for (const guest of [...this.#order.guests]) {
      if (guest.gone) {
        this.#bury(guest);
        continue;
      }
      for (let page = 0; page < guest.space.pageCount; page++) {
        if (this.#unshare(guest.space, page)) continue;
        this.knobs.values.run = stopped;
        throw new KnobError(
          'ENOMEM',
          'the host has no frame left to unmerge into; run is 0 now, and some pages are still merged',
        );
      }
      this.#store.eachItem(guest, (at) => this.#routines.forget(at));
    }
    this.#dropStaleNodes();
    this.#store.set('sequence', 0);
    this.#order.reset();
    this.#page = atDoor;
  }

  /** Gives a page its own frame when it is merged; false when there is no frame left. */
  #unshare(space: MergeSpace, page: number): boolean {
    const memory = this.#memory;
    const frame = memory.frameOf(space, page);
    if (frame === 0) return true;
    const isZero = frame === memory.zeroFrame;
    if (isZero ? !this.#profile.zeroPages : memory.tagOf(frame) === 0) return true;
    return memory.unshare(space, page);
  }

  /** Empties the stable tree of nodes whose frames are gone; false when one is still there. */
  #dropStaleNodes(): boolean {
    for (let root = this.#store.get('stableRoot'); root !== 0; root = this.#store.get('stableRoot')) {
      if (this.#routines.representative(root, 0) !== 0) return false;
    }
    return true;
  }

  counters(): Record<string, number> {
    const { spaces } = this.#memory;
    const store = this.#store;
    const shared = store.get('shared');
    const sharing = store.get('sharing');
    const unshared = store.get('unshared');
    const items = store.get('items');
    const zeroPages = spaces.reduce((sum, space) => sum + this.#memory.zeroPages(space), 0);
    return {
      pages_shared: shared,
      pages_sharing: sharing,
      pages_unshared: unshared,
      pages_volatile: Math.max(0, items - shared - sharing - unshared),
      pages_scanned: this.#pagesScanned,
      pages_skipped: this.#pagesSkipped,
      ksm_zero_pages: zeroPages,
      full_scans: store.get('sequence'),
      stable_node_chains: store.get('chains'),
      stable_node_dups: store.get('dups'),
      general_profit: (sharing + zeroPages) * pageSize - items * rmapItemBytes,
      ksm_rmap_items: items,
      cow_ksm: this.#cowKsm,
      ksm_swpin_copy: this.#swapInCopies,
    };
  }

  countersOf(space: MergeSpace): Record<string, number> {
    const guest = this.#store.guestOf(space);
    const merged = guest === undefined ? 0 : this.#store.read(spaceFields.merging, guest.address);
    const items = guest === undefined ? 0 : this.#store.read(spaceFields.items, guest.address);
    const zeroPages = this.#memory.zeroPages(space);
    return {
      ksm_merging_pages: merged,
      ksm_rmap_items: items,
      ksm_zero_pages: zeroPages,
      // Every page that maps a merged frame counts in full, so that the guests' sum exceeds general_profit.
      ksm_process_profit: (merged + zeroPages) * pageSize - items * rmapItemBytes,
    };
  }

  standing(space: MergeSpace, page: number, hash: number): Standing {
    const store = this.#store;
    const guest = store.guestOf(space);
    if (guest === undefined) return 'unseen';
    const at = guest.firstItem + page * itemBytes;
    const state = store.read(item.state, at);
    if (state === none) return 'unseen';
    if (hash !== store.read(item.checksum, at)) return 'volatile';
    if (state === unstable) return 'waiting';
    return state === listed && store.read(item.skips, at) > 0 ? 'skipped' : 'unseen';
  }

  takesMore(frame: number): boolean {
    const at = this.#nodeOf(frame);
    return at !== 0 && this.#store.read(node.length, at) < this.knobs.values.maxSharing;
  }

  saveState(to: StateWriter): void {
    to.string(this.name);
    this.knobs.saveState(to);
    this.#advisor.saveState(to);
    for (const value of this.#numbers()) to.number(value);
    saveRecords(to, this.#store, this.#order);
  }

  /** Takes a state up. The memory has taken up its own before, with the same guests, and the tags of its frames. */
  loadState(from: StateReader): void {
    const name = from.string();
    if (name !== this.name) throw new StateError(`the saved scanner is ${name}, this one is ${this.name}`);
    this.knobs.loadState(from);
    this.#advisor.loadState(from);
    [
      this.#page,
      this.#batch,
      this.#wake,
      this.#debt,
      this.#cpuTime,
      this.#pagesScanned,
      this.#pagesSkipped,
      this.#cowKsm,
      this.#swapInCopies,
    ] = this.#numbers().map(() => from.number()) as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    loadRecords(from, this.#store, this.#order, this.#memory);
  }

  #numbers(): readonly number[] {
    return [
      this.#page,
      this.#batch,
      this.#wake,
      this.#debt,
      this.#cpuTime,
      this.#pagesScanned,
      this.#pagesSkipped,
      this.#cowKsm,
      this.#swapInCopies,
    ];
  }
}
