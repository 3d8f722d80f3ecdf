/**
 * The machine that holds the guests: its memory and swap, the engine that executes them, and the network between them.
 *
 * Virtual time advances in rounds. In a round every guest that has something to do runs by itself, within the frames that it was granted;
 * between rounds comes what concerns more than one of them. All of it is in an order that depends on virtual time and
 * guest numbers alone.
 */
import { BalloonController, type BalloonEvent } from './balloon/controller.ts';
import type { BalloonPolicy } from './balloon/policy.ts';
import { type Costs, costs } from './clock/costs.ts';
import { Scheduler } from './clock/scheduler.ts';
import { STORAGE_PROFILES, type StorageProfileName } from './clock/storage.ts';
import { Ksmd } from './ksm/ksmd.ts';
import type { Scanner } from './ksm/scanner.ts';
import type { AddressSpace } from './memory/addressspace.ts';
import { addressLimit, HostMemory, pageSize } from './memory/hostmemory.ts';
import { HostPages, type MemoryEvent, type OomPolicy } from './memory/hostpages.ts';
import type { MergeMemory } from './memory/merge.ts';
import { hashPage } from './memory/pagehash.ts';
import { SwapDevice } from './memory/swap/device.ts';
import { DiskFile, type SwapFile } from './memory/swap/file.ts';
import { type SharedSwap, Swap } from './memory/swap/swap.ts';
import { hashOf } from './state/hash.ts';
import type { Stateful, StateReader, StateWriter } from './state/state.ts';
import { GuestThreads, type HousedGuest } from './threads/guestthreads.ts';
import type { HostedGuest, HostedOptions, HostedPort } from './threads/hostedguest.ts';
import { EthernetSwitch } from './virtio/net/switch.ts';
import { Engine } from './x86/engine.ts';
import { processorsRoom } from './x86/processors.ts';
import type { TranslationOptions } from './x86/translate/options.ts';

/** The host's swap. */
export interface SwapOptions {
  /** Path of the file, which is made or emptied, or the file itself. */
  readonly file: string | SwapFile;
  /** Size in bytes, a multiple of the page size, at most 4 GiB. */
  readonly size: number;
  /** The device that the file is on. */
  readonly device: StorageProfileName;
  /** Most pages read together, as a power of two; 3 when not given. */
  readonly pageCluster?: number;
}

/** What a host is made of. */
export interface HostOptions {
  /** Memory for the guests' pages in bytes; a multiple of 64 KiB. */
  readonly memory: number;
  /** How hot code is translated; when it is not, all is interpreted, with the same results. */
  readonly translate: false | TranslationOptions;
  /** vCPUs of all guests that there will be, as far as known: there is room for some fifty in any case. */
  readonly vcpus?: number;
  /** Physical CPUs, which guests and the host's threads share; enough for all when not given. */
  readonly cpus?: number;
  /** Threads that guests run on, this one included; 1 when not given. No figure depends on it. */
  readonly workers?: number;
  /** None when not given. */
  readonly swap?: SwapOptions;
  /** Which guest ends when memory and swap are used up; the largest when not given. */
  readonly oom?: OomPolicy;
  /** The cost model; the defaults when not given. */
  readonly costs?: Costs;
  /** Who sets the balloons of the guests that were given to {@link Host.balloons}; nobody when not given. */
  readonly balloonPolicy?: BalloonPolicy;
  /** Told of guests whose balloons do not follow the policy, and of those that do so again. */
  readonly onBalloonEvent?: (event: BalloonEvent, now: number) => void;
  /** Told of what goes wrong with the host's memory. */
  readonly onMemoryEvent?: (event: MemoryEvent, now: number) => void;
  /** Told of a guest that has ended by itself, when the round is over. */
  readonly onGuestEnd?: (guest: HostedGuest) => void;
}

/** A thread of the host that works between rounds, with a CPU that it had in the one before: ksmd, kswapd. */
export interface HostTask {
  readonly name: string;
  /** When it wants CPU time next, in virtual ns; Infinity while it sleeps. */
  readonly next: number;
  /** Works for `budget` ns of CPU time at most, at virtual time `now`; gives what it used. */
  run(now: number, budget: number): number;
}

/** Room for vCPU state, memory maps and decoded code, in bytes, at least. It is reserved, and used as needed. */
const leastArena = 1 << 30;
/** Of it, the stores of decoded code of all threads. */
const codeBytes = 512 << 20;
/** Of it, what is neither that nor a vCPU's: mostly the guests' memory maps. */
const mapBytes = 256 << 20;
/** The arena ends here at the latest, and is larger where it and the frames do. With frames above, a second guest's boot took a fifth longer. */
const smallAddresses = 2 ** 31;
/** The arena is a multiple of this: a page of WebAssembly's. */
const arenaUnit = 65536;

/** Size of the arena of a host of `memory` bytes with so many vCPUs: as many as there is room for, if there is none for all. */
function arenaBytesFor(memory: number, vcpus: number): number {
  const frames = Math.ceil(memory / arenaUnit) * arenaUnit;
  const needed = Math.ceil((codeBytes + mapBytes + processorsRoom(vcpus)) / arenaUnit) * arenaUnit;
  const possible = Math.min(needed, smallAddresses, addressLimit - frames);
  return Math.max(leastArena, smallAddresses - frames, possible);
}

/** Length of a round in virtual ns: guests run so long by themselves, then what lies between them is done. */
export const round = 100_000;
/** Virtual ns that a frame takes between guests. No less than a round, so that it arrives exactly when it should. */
const networkDelay = round;
/** As many CPUs as anybody could want. */
const manyCpus = 4096;

/** A guest on the host. */
interface Member extends HousedGuest {
  /** The scheduler's numbers of its vCPUs. */
  readonly entities: readonly number[];
  /** Where what it writes goes. */
  readonly serialOutput: (byte: number) => void;
  readonly ports: readonly HostedPort[];
}

/** See the top of this file. */
export class Host implements Stateful {
  readonly memory: HostMemory;
  readonly pages: HostPages;
  readonly engine: Engine;
  readonly costs: Costs;
  /** In the order in which they were added. */
  readonly guests: HostedGuest[] = [];
  readonly #members = new Map<HostedGuest, Member>();
  readonly #byNumber = new Map<number, HostedGuest>();
  readonly #threads: GuestThreads;
  readonly #onGuestEnd: (guest: HostedGuest) => void;
  readonly network = new EthernetSwitch(networkDelay);
  /** Carries the balloon policy out for the guests that are added to it; undefined when there is none. */
  readonly balloons: BalloonController | undefined;
  readonly #scheduler: Scheduler;
  /** With the scheduler's number of each. */
  readonly #tasks: { readonly task: HostTask; readonly entity: number }[] = [];
  #ksmd: Ksmd | undefined;
  #stations = 0;
  #time = 0;
  /** The guests that run in the round that is on, and its end; the end has passed when none is on. */
  #running: readonly HostedGuest[] = [];
  #roundEnd = 0;

  constructor(options: HostOptions) {
    const { memory, translate, oom, costs: costModel = costs(), workers = 1 } = options;
    this.costs = costModel;
    this.#onGuestEnd = options.onGuestEnd ?? (() => {});
    this.#scheduler = new Scheduler(options.cpus ?? manyCpus, round);
    const arenaBytes = arenaBytesFor(memory, options.vcpus ?? 0);
    this.memory = new HostMemory(memory, arenaBytes);
    const hash = hashPage(this.memory);
    this.pages = new HostPages(
      this.memory,
      {
        costs: costModel,
        oom,
        swap: options.swap === undefined ? undefined : makeSwap(this.memory, options.swap, hash),
        pageCluster: options.swap?.pageCluster,
      },
      {
        resume: (space, cpu, time, since, cause) => this.#guestOf(space).resume(cpu, time, since, cause),
        stop: (space, reason) => this.#guestOf(space).stop(reason),
        event: options.onMemoryEvent ?? (() => {}),
      },
    );
    const share = Math.floor(codeBytes / workers / pageSize) * pageSize;
    const { books } = this.pages;
    this.#threads = new GuestThreads(
      this,
      {
        frameBytes: this.memory.frameCount * pageSize,
        arenaBytes,
        translate,
        costs: costModel,
        frameTables: books.frames.tables,
        zeroFrame: books.zeroFrame,
        swap: workers === 1 ? undefined : sharedSwap(books.swap),
      },
      workers - 1,
      share,
    );
    this.engine = new Engine(this.memory, hash, share, translate);
    this.addTask(this.pages.kswapd);
    if (options.balloonPolicy !== undefined) {
      this.balloons = new BalloonController(options.balloonPolicy, {
        memory,
        free: () => this.pages.classes.free * pageSize,
        onEvent: options.onBalloonEvent ?? (() => {}),
      });
    }
  }

  #guestOf(space: AddressSpace): HostedGuest {
    return this.#byNumber.get(space.id)!;
  }

  /** Virtual time in ns since the host was switched on. */
  get time(): number {
    return this.#time;
  }

  /** Whether no round is on: true at every multiple of {@link round}. */
  get isBetweenRounds(): boolean {
    return this.#time >= this.#roundEnd;
  }

  #betweenRounds(what: string): void {
    if (this.isBetweenRounds) return;
    throw new Error(`${what} in the middle of a round; run the host up to a multiple of ${round} ns before`);
  }

  /** Makes a guest, powered off: `boot` starts it. Between rounds. */
  addGuest(options: HostedOptions): HostedGuest {
    this.#betweenRounds('a guest is added');
    const { serialOutput, ports, ...plain } = options;
    const station = ++this.#stations;
    const housed = this.#threads.add(plain, ports, station);
    const { guest } = housed;
    this.guests.push(guest);
    const entities = guest.cpus.map(() => this.#scheduler.add(options.cpuWeight));
    this.#members.set(guest, { ...housed, entities, serialOutput, ports });
    this.#byNumber.set(guest.space.id, guest);
    return guest;
  }

  /** Takes a guest off the host, whatever it does, and everything that it has back. Between rounds. */
  removeGuest(guest: HostedGuest): void {
    this.#betweenRounds('a guest is removed');
    const index = this.guests.indexOf(guest);
    if (index < 0) throw new Error('the guest is not on this host');
    guest.dispose();
    this.balloons?.remove(guest.space.id);
    const { entities, close } = this.#members.get(guest)!;
    for (const entity of entities) this.#scheduler.remove(entity);
    close();
    this.#members.delete(guest);
    this.guests.splice(index, 1);
    this.#byNumber.delete(guest.space.id);
  }

  /** Takes back the memory of a guest that has ended: what the end of an emulator's process gives a real host. Between rounds. */
  release({ space }: HostedGuest): void {
    this.#betweenRounds('memory is taken back');
    this.pages.release(space);
  }

  /** Adds a thread of the host, which works from now on. */
  addTask(task: HostTask): void {
    this.#tasks.push({ task, entity: this.#scheduler.add() });
  }

  /** Gives the host a scanner, which works when `Ksmd.start` was called: merging by it, and all that is measured of that. */
  addScanner(makeScanner: (memory: MergeMemory) => Scanner): Ksmd {
    this.#betweenRounds('a scanner is added');
    if (this.#ksmd !== undefined) throw new Error('the host has a scanner already');
    this.#ksmd = new Ksmd(this.pages.merging, makeScanner);
    this.addTask(this.#ksmd);
    return this.#ksmd;
  }

  /** CPU time that a guest's vCPUs have used, in ns. */
  cpuTime(guest: HostedGuest): number {
    return this.#members
      .get(guest)!
      .entities.reduce((sum, entity) => sum + this.#scheduler.executed(entity), 0);
  }

  /** CPU time that a task has used, in ns. */
  taskTime(task: HostTask): number {
    return this.#scheduler.executed(this.#tasks.find((each) => each.task === task)!.entity);
  }

  /**
   * Lets all guests run up to virtual time `until` (ns). Guests that have ended stay as they are, and rounds in which nobody has anything
   * to do are passed over. Rounds begin at multiples of {@link round} wherever runs end, so that it makes no difference where, as long
   * as it is between rounds; within a round the vCPUs of one guest take turns up to there.
   */
  run(until: number): void {
    while (this.#time < until) {
      const next = this.isBetweenRounds ? this.#next() : 0;
      const roundStart = Math.floor(this.#time / round) * round;
      if (next >= roundStart + round) {
        this.#time = Math.min(Math.floor(next / round) * round, until);
        continue;
      }
      if (this.isBetweenRounds) this.#beginRound(roundStart + round);
      const end = Math.min(until, this.#roundEnd);
      const running = this.#running.filter(({ space }) => space.inRound);
      this.#threads.run(running, this.#time, end);
      this.#time = end;
      if (this.isBetweenRounds) this.#endRound(end);
      for (const guest of running) this.#handOn(guest);
    }
  }

  /** Hands on what a guest has written. */
  #handOn(guest: HostedGuest): void {
    const member = this.#members.get(guest);
    const written = member?.takeWritten();
    if (member === undefined || written === undefined) return;
    for (const byte of written.serial) member.serialOutput(byte);
    for (const { port, bytes, time } of written.ports) member.ports[port]!.onOutput(bytes, time);
  }

  /** When somebody has something to do, in virtual ns. */
  #next(): number {
    // Who waits for a page is served between the rounds before and behind that in which it is there.
    let next = Math.min(this.pages.next - round, this.balloons?.next ?? Number.POSITIVE_INFINITY);
    for (const guest of this.guests) next = Math.min(next, guest.wake);
    for (const { task } of this.#tasks) next = Math.min(next, task.next);
    return next;
  }

  #beginRound(end: number): void {
    this.#roundEnd = end;
    this.#schedule(end);
    this.#running = this.guests.filter((guest) => guest.wake < end);
    this.pages.beginRound(
      this.#running.map(({ space, cpus }) => ({ space, cpus: cpus.filter((cpu) => cpu.hasCpu).length })),
      this.#time,
    );
  }

  #endRound(end: number): void {
    const ended = this.#running.filter((guest) => guest.end !== undefined);
    this.#running = [];
    this.pages.endRound(end);
    this.pages.serve(end, end + round);
    this.network.exchange();
    this.#threads.deliver(end);
    this.#account(end);
    this.#setBalloons(end);
    for (const guest of ended) this.#onGuestEnd(guest);
  }

  #setBalloons(now: number): void {
    if (this.balloons === undefined || this.balloons.next > now) return;
    for (const { end, space } of this.guests) if (end !== undefined) this.balloons.remove(space.id);
    this.balloons.run(now);
  }

  /** Decides who has a physical CPU in the round that ends at `end`. */
  #schedule(end: number): void {
    const scheduler = this.#scheduler;
    for (const guest of this.guests) {
      const entities = this.#members.get(guest)!.entities;
      for (let i = 0; i < entities.length; i++) {
        const { idle, blockedUntil } = guest.cpus[i]!;
        const entity = entities[i]!;
        if (guest.end !== undefined || blockedUntil >= end) scheduler.rests(entity);
        else if (idle) scheduler.sleeps(entity, guest.nextEvent);
        else if (blockedUntil > this.#time) scheduler.sleeps(entity, blockedUntil);
        else scheduler.wantsCpu(entity);
      }
    }
    for (const { task, entity } of this.#tasks) {
      if (task.next < end) scheduler.wantsCpu(entity);
      // It may be woken by what happens in the round.
      else scheduler.sleeps(entity, task.next);
    }
    scheduler.decide();
    for (const guest of this.guests) {
      const entities = this.#members.get(guest)!.entities;
      for (let i = 0; i < entities.length; i++) guest.cpus[i]!.hasCpu = scheduler.hasCpu(entities[i]!);
    }
  }

  /** Lets the host's threads work in the round that ended at `now`, and tells the scheduler who used what. */
  #account(now: number): void {
    const scheduler = this.#scheduler;
    for (const guest of this.guests) {
      const entities = this.#members.get(guest)!.entities;
      for (let i = 0; i < entities.length; i++) {
        if (!scheduler.hasCpu(entities[i]!)) continue;
        const cpu = guest.cpus[i]!;
        scheduler.ran(entities[i]!, cpu.executed);
        cpu.executed = 0;
      }
    }
    for (const { task, entity } of this.#tasks) {
      if (scheduler.hasCpu(entity)) scheduler.ran(entity, task.next <= now ? task.run(now, round) : 0);
    }
    for (const { task, entity } of this.#tasks) {
      const budget = Math.min(scheduler.spare, round);
      if (budget === 0 || scheduler.hasCpu(entity) || task.next > now) continue;
      scheduler.ranSpare(entity, task.run(now, budget));
    }
  }

  /** Gives the swap file and the other threads up. The host cannot run any more. */
  close(): void {
    this.#threads.end();
    this.pages.books.swap?.close();
  }

  saveState(to: StateWriter): void {
    this.#betweenRounds('the state is written');
    to.number(this.#time);
    to.u32(this.#stations);
    to.list(this.guests, (guest) => {
      to.u32(guest.space.id);
      to.bytes(guest.machineState());
    });
    to.part('network', this.network);
    to.part('scheduler', this.#scheduler);
    if (this.balloons !== undefined) to.part('balloons', this.balloons);
    to.part('memory', this.pages);
    if (this.#ksmd !== undefined) to.part('ksmd', this.#ksmd);
  }

  /** Takes up the state of a host with the same guests, added in the same order, and the same scanner. */
  loadState(from: StateReader): void {
    this.#betweenRounds('a state is taken up');
    this.#time = from.number();
    this.#roundEnd = this.#time;
    this.#stations = from.u32();
    let index = 0;
    from.list(() => {
      const guest = this.guests[index++]!;
      from.u32();
      guest.takeMachineState(from.bytes());
    });
    from.part('network', this.network);
    from.part('scheduler', this.#scheduler);
    if (this.balloons !== undefined) from.part('balloons', this.balloons);
    from.part('memory', this.pages);
    // Its frames' tags are the memory's.
    if (this.#ksmd !== undefined) from.part('ksmd', this.#ksmd);
  }

  /** SHA-256 of the host's whole state, in hexadecimal. */
  stateHash(): string {
    return hashOf(this);
  }
}

/** How other threads read the swap. */
function sharedSwap(swap: Swap | undefined): SharedSwap | undefined {
  const shared = swap?.shared;
  if (swap === undefined || shared !== undefined) return shared;
  throw new Error(`swap file ${swap.name}: only one thread can read it; run all guests on one`);
}

function makeSwap(memory: HostMemory, options: SwapOptions, hash: (address: number) => bigint): Swap {
  const { file, size, device } = options;
  return new Swap(
    memory,
    size / pageSize,
    typeof file === 'string' ? new DiskFile(file) : file,
    new SwapDevice(STORAGE_PROFILES[device]),
    hash,
  );
}
