/**
 * The memory balloon (Virtual I/O Device 1.3, section 5.5): the guest gives pages to the host when asked to and
 * takes them back, tells which of its pages are free, and how its memory is used. Who decides what is asked for,
 * and what becomes of the pages, is the host's business.
 */
import type { Timer } from '../../clock/timers.ts';
import type { AccessSize } from '../../platform/bus.ts';
import { loadBytes } from '../../platform/pci/registers.ts';
import type { StateReader, StateWriter } from '../../state/state.ts';
import type { DescriptorChain } from '../chain.ts';
import { loadCounters, saveCounters } from '../counters.ts';
import { type DeviceModel, VirtioDevice, type VirtioEnvironment } from '../device.ts';
import { DriverError } from '../error.ts';
import type { Virtqueue } from '../queue.ts';
import { type BalloonQueue, balloonQueues, F_FREE_PAGE_HINT, F_PAGE_POISON } from './features.ts';
import { Hinting, type HintingPhase } from './hinting.ts';
import { type BalloonStats, StatsRecord } from './stats.ts';

/** The balloon's page, whatever the guest's (section 5.5.6). */
export const BALLOON_PAGE = 4096;

const QUEUE_SIZE = 128;

/** Configuration space: le32 num_pages, actual, free_page_hint_cmd_id, poison_val. */
const NUM_PAGES = 0;
const ACTUAL = 4;
const FREE_PAGE_HINT_CMD_ID = 8;
const POISON_VAL = 12;
const CONFIG_BYTES = 16;

/** An array of page numbers is read in parts of this many; Linux's driver sends as many at once. */
const PAGES_AT_ONCE = 256;

/** The most page numbers that one buffer may hold. */
const MOST_PAGES = 16384;

/** No statistics buffer is parked. */
const NONE = -1;

/** What becomes of the guest's pages. Every range is guest RAM, in whole pages; it is called inside events of the guest. */
export interface BalloonHost {
  /** `count` pages from page number `pfn` are in the balloon: the guest does not use them, their content may go. */
  inflate(pfn: number, count: number): void;
  /** `count` pages from page number `pfn` leave the balloon: the guest will use them, whatever they contain. */
  deflate(pfn: number, count: number): void;
  /** The guest has not used these bytes since hinting was asked for; if it has not written to them since, their content may go. */
  hint(address: number, length: number): void;
  /** These bytes are free in the guest; it does not touch them until this returns, and their content may go. */
  report(address: number, length: number): void;
}

/** What a balloon is made of. */
export interface BalloonOptions {
  /** Unique within the machine. */
  readonly name: string;
  /** Feature bits to offer; see {@link BALLOON_FEATURES}. */
  readonly features: readonly number[];
  readonly host: BalloonHost;
  /** Virtual ns that the host works for each page that enters and that leaves. */
  readonly inflateTime: number;
  readonly deflateTime: number;
}

/** A buffer of page numbers that the host works on. */
interface Request {
  /** The queue, and the descriptor that the buffer starts with. */
  readonly queue: number;
  readonly head: number;
  readonly due: number;
}

/** A virtio balloon. */
export class VirtioBalloon implements DeviceModel {
  readonly type = 5;
  readonly name: string;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly device: VirtioDevice;
  /** Pages of 4 KiB given and taken; hints that came under no current command, or while pages must keep their poison; reports passed over since the pages must keep their poison; statistics. */
  readonly counters = {
    pagesInflated: 0,
    pagesDeflated: 0,
    pagesHinted: 0,
    pagesHintedInVain: 0,
    pagesReported: 0,
    pagesReportedInVain: 0,
    statsReceived: 0,
    statsPollsUnanswered: 0,
  };
  readonly #host: BalloonHost;
  readonly #environment: VirtioEnvironment;
  readonly #configView = new DataView(this.config.buffer);
  readonly #pages = new Uint32Array(PAGES_AT_ONCE);
  readonly #pageBytes = new Uint8Array(this.#pages.buffer);
  readonly #pageView = new DataView(this.#pages.buffer);
  readonly #hinting = new Hinting();
  readonly #stats = new StatsRecord();
  readonly #pollTimer: Timer;
  readonly #pageTimer: Timer;
  readonly #times: Readonly<Record<'inflate' | 'deflate', number>>;
  /** In the order in which the host is done with them. */
  #inFlight: Request[] = [];
  /** The host is done with all that it has taken, in virtual ns. */
  #busyUntil = 0;
  #pollInterval = 0;
  #parked = NONE;
  #statsWanted = false;

  constructor(environment: VirtioEnvironment, options: BalloonOptions) {
    const { name, features, host } = options;
    this.name = name;
    this.features = features;
    this.queueSizes = balloonQueues((feature) => features.includes(feature)).map(() => QUEUE_SIZE);
    this.#host = host;
    this.#times = { inflate: options.inflateTime, deflate: options.deflateTime };
    this.#environment = environment;
    this.#showHinting();
    this.device = new VirtioDevice(this, environment);
    this.#pageTimer = environment.timers.timer(`${name} pages`, (now) => {
      this.device.serve(this.#inFlight[0]!.queue, now);
    });
    this.#pollTimer = environment.timers.timer(`${name} statistics`, (now) => this.#poll(now));
  }

  /** Pages of 4 KiB that the host wants in the balloon (num_pages). */
  get target(): number {
    return this.#configView.getUint32(NUM_PAGES, true);
  }

  /** Asks for `pages` pages of 4 KiB in the balloon, 0 to 2^32 − 1; the guest follows as it can. */
  setTarget(pages: number): void {
    if (pages === this.target) return;
    this.#configView.setUint32(NUM_PAGES, pages, true);
    this.device.configChanged();
  }

  /** Pages of 4 KiB in the balloon, as the guest last said. */
  get actual(): number {
    return this.#configView.getUint32(ACTUAL, true);
  }

  /** Whether a driver serves it. */
  get driven(): boolean {
    return this.device.live;
  }

  /** The value that the guest fills free pages with, when it does so (PAGE_POISON); else 0. */
  get poison(): number {
    return this.device.negotiated(F_PAGE_POISON) ? this.#configView.getUint32(POISON_VAL, true) : 0;
  }

  /** What the guest last said of its memory; undefined before it first did. */
  get stats(): BalloonStats | undefined {
    return this.#stats.latest;
  }

  /** Asks for fresh statistics. Gives false when the guest cannot be asked: it has no driver, or still owes an answer. */
  requestStats(): boolean {
    if (this.#parked === NONE || !this.device.live) return false;
    this.#statsWanted = true;
    this.device.kick(this.#queueNumber('stats'));
    return true;
  }

  /** Asks for statistics every `interval` virtual ns from now on; 0 ends it. */
  setStatsInterval(interval: number): void {
    this.#pollInterval = interval;
    if (interval > 0) this.#pollTimer.arm(this.#environment.clock.now() + interval);
    else this.#pollTimer.disarm();
  }

  #poll(now: number): void {
    if (!this.requestStats()) this.counters.statsPollsUnanswered++;
    this.#pollTimer.arm(now + this.#pollInterval);
  }

  /** Whether the driver can be asked for hints. */
  get givesHints(): boolean {
    return this.device.live && this.device.negotiated(F_FREE_PAGE_HINT);
  }

  /** Where free page hinting stands. */
  get hintingPhase(): HintingPhase {
    return this.#hinting.phase;
  }

  /** Asks the guest for hints. */
  startHinting(): void {
    this.#hinting.start();
    this.#hintingChanged();
  }

  /** Tells the guest that hints are of no use for now; it keeps the pages that it hinted. */
  stopHinting(): void {
    this.#hinting.stop();
    this.#hintingChanged();
  }

  /** Tells the guest that hinting is over; it may use the pages that it hinted. */
  finishHinting(): void {
    this.#hinting.finish();
    this.#hintingChanged();
  }

  #hintingChanged(): void {
    this.#showHinting();
    this.device.configChanged();
  }

  #showHinting(): void {
    this.#configView.setUint32(FREE_PAGE_HINT_CMD_ID, this.#hinting.commandId, true);
  }

  /** The driver writes `actual` and `poison_val`, both as a whole; the other fields are read-only. */
  writeConfig(offset: number, size: AccessSize, value: number): void {
    if (size === 4 && (offset === ACTUAL || offset === POISON_VAL))
      this.#configView.setUint32(offset, value, true);
  }

  #queueNumber(queue: BalloonQueue): number {
    return balloonQueues((feature) => this.device.negotiated(feature)).indexOf(queue);
  }

  process(index: number, now: number): void {
    const kind = balloonQueues((feature) => this.device.negotiated(feature))[index];
    if (kind === undefined) throw new DriverError(`queue ${index} has no feature negotiated for it`);
    const queue = this.device.queues[index]!;
    if (kind === 'stats') this.#serveStats(queue, now);
    else {
      this.#finishDue(index, now);
      // Free pages that are told of are writable, and are not written.
      for (let chain = queue.take(false); chain !== undefined; chain = queue.take(false))
        this.#serve(kind, chain, index, now);
      this.#armPageTimer();
    }
  }

  #serve(kind: BalloonQueue, chain: DescriptorChain, index: number, now: number): void {
    const { head } = chain;
    let time = 0;
    if (kind === 'hint') this.#readHints(chain);
    else if (kind === 'report') this.#readReport(chain);
    else if (kind === 'inflate' || kind === 'deflate')
      time = this.#times[kind] * this.#readPages(chain, kind);
    if (time === 0) {
      this.device.queues[index]!.complete(head, 0);
      return;
    }
    if (this.#inFlight.length === 2 * QUEUE_SIZE)
      throw new DriverError('more arrays of pages are in flight than the queues hold');
    // The host works on one after the other.
    this.#busyUntil = Math.max(now, this.#busyUntil) + time;
    this.#inFlight.push({ queue: index, head, due: this.#busyUntil });
  }

  /** Gives back what the host is done with. */
  #finishDue(index: number, now: number): void {
    const isDue = ({ queue, due }: Request) => queue === index && due <= now;
    for (const request of this.#inFlight) {
      if (isDue(request)) this.device.queues[index]!.complete(request.head, 0);
    }
    this.#inFlight = this.#inFlight.filter((request) => !isDue(request));
  }

  #armPageTimer(): void {
    const next = this.#inFlight[0];
    if (next === undefined) this.#pageTimer.disarm();
    else this.#pageTimer.arm(next.due);
  }

  /** Reads an array of le32 page numbers and passes it on in runs; gives how many there were. */
  #readPages(chain: DescriptorChain, kind: 'inflate' | 'deflate'): number {
    const length = chain.readableBytes;
    if (chain.writableBytes > 0 || length % 4 !== 0 || length > 4 * MOST_PAGES) {
      throw new DriverError(
        `${kind} takes a readable array of at most ${MOST_PAGES} page numbers of 4 bytes, not ${length} bytes`,
      );
    }
    for (let at = 0; at < length; at += this.#pageBytes.length) {
      const count = chain.read(at, this.#pageBytes) / 4;
      for (let i = 0; i < count; i++) this.#pages[i] = this.#pageView.getUint32(4 * i, true);
      this.#passRuns(count, kind);
    }
    return length / 4;
  }

  #passRuns(count: number, kind: 'inflate' | 'deflate'): void {
    for (let first = 0, end: number; first < count; first = end) {
      const pfn = this.#pages[first]!;
      end = first + 1;
      while (end < count && this.#pages[end] === pfn + (end - first)) end++;
      const pages = end - first;
      if (!this.#environment.memory.contains(pfn * BALLOON_PAGE, pages * BALLOON_PAGE)) {
        throw new DriverError(`pages ${pfn} to ${pfn + pages - 1} are not all guest memory`);
      }
      if (kind === 'inflate') {
        this.#host.inflate(pfn, pages);
        this.counters.pagesInflated += pages;
      } else {
        this.#host.deflate(pfn, pages);
        this.counters.pagesDeflated += pages;
      }
    }
  }

  /** As with reports, pages that may have to keep a poison other than zero are left as they are. */
  #readHints(chain: DescriptorChain): void {
    if (chain.readableCount > 0) {
      if (chain.readableBytes !== 4) {
        throw new DriverError(`a command ID of ${chain.readableBytes} bytes`);
      }
      chain.read(0, this.#pageBytes.subarray(0, 4));
      this.#hinting.receive(this.#pageView.getUint32(0, true));
    }
    const wanted = this.#hinting.phase === 'running' && this.poison === 0;
    for (let i = chain.readableCount; i < chain.count; i++) {
      const pages = this.#wholePages(chain, i, wanted ? 'hint' : undefined);
      if (wanted) this.counters.pagesHinted += pages;
      else this.counters.pagesHintedInVain += pages;
    }
  }

  /** Pages that must keep a poison other than zero are left as they are (section 5.5.6.7.2). */
  #readReport(chain: DescriptorChain): void {
    if (chain.readableCount > 0) throw new DriverError('a report has a readable element');
    const wanted = this.poison === 0;
    for (let i = 0; i < chain.count; i++) {
      const pages = this.#wholePages(chain, i, wanted ? 'report' : undefined);
      if (wanted) this.counters.pagesReported += pages;
      else this.counters.pagesReportedInVain += pages;
    }
  }

  /** Tells the host of the whole pages in an element, when it should hear of them, and gives their number. */
  #wholePages(chain: DescriptorChain, index: number, tell: 'hint' | 'report' | undefined): number {
    const first = Math.ceil(chain.address(index) / BALLOON_PAGE);
    const end = Math.floor((chain.address(index) + chain.length(index)) / BALLOON_PAGE);
    if (end <= first) return 0;
    if (tell !== undefined) this.#host[tell](first * BALLOON_PAGE, (end - first) * BALLOON_PAGE);
    return end - first;
  }

  #serveStats(queue: Virtqueue, now: number): void {
    if (this.#statsWanted && this.#parked !== NONE) {
      queue.complete(this.#parked, 0);
      this.#parked = NONE;
    }
    this.#statsWanted = false;
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      if (this.#parked !== NONE) throw new DriverError('more than one statistics buffer is available');
      this.#stats.read(chain, now);
      this.#parked = chain.head;
      this.counters.statsReceived++;
    }
  }

  queueReset(index: number): void {
    this.#inFlight = this.#inFlight.filter(({ queue }) => queue !== index);
    this.#armPageTimer();
    if (index === this.#queueNumber('stats')) this.#forgetStatsBuffer();
  }

  #forgetStatsBuffer(): void {
    this.#parked = NONE;
    this.#statsWanted = false;
  }

  /** Forgets the driver: nothing is in the balloon of the next one. The target stays. */
  reset(): void {
    this.#configView.setUint32(ACTUAL, 0, true);
    this.#configView.setUint32(POISON_VAL, 0, true);
    this.#inFlight = [];
    this.#armPageTimer();
    this.#forgetStatsBuffer();
    this.#hinting.reset();
    this.#showHinting();
  }

  saveState(to: StateWriter): void {
    to.bytes(this.config);
    to.part('hinting', this.#hinting);
    to.part('statistics', this.#stats);
    to.number(this.#pollInterval);
    to.number(this.#parked);
    to.bool(this.#statsWanted);
    to.number(this.#busyUntil);
    to.list(this.#inFlight, ({ queue, head, due }) => {
      to.u16(queue);
      to.u16(head);
      to.number(due);
    });
    saveCounters(to, this.counters);
  }

  loadState(from: StateReader): void {
    loadBytes(from, this.config);
    from.part('hinting', this.#hinting);
    from.part('statistics', this.#stats);
    this.#pollInterval = from.number();
    this.#parked = from.number();
    this.#statsWanted = from.bool();
    this.#busyUntil = from.number();
    this.#inFlight = from.list(() => ({ queue: from.u16(), head: from.u16(), due: from.number() }));
    loadCounters(from, this.counters);
  }
}
