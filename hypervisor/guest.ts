/**
 * One virtual machine: vCPUs, memory and devices, run in virtual time.
 *
 * The CPUs of a guest take turns of a few microseconds of virtual time each; a guest with one CPU runs from one event
 * to the next. Everything happens in an order that depends on the guest alone.
 */
import type { Costs } from './clock/costs.ts';
import { STORAGE_PROFILES } from './clock/storage.ts';
import { type Clock, TimerQueue } from './clock/timers.ts';
import { type GuestFiles, loadGuest, secret } from './guestfiles.ts';
import { Measures } from './measures/measures.ts';
import { type AddressSpace, OutOfFrames } from './memory/addressspace.ts';
import type { FaultCause } from './memory/faults.ts';
import { pageSize } from './memory/hostmemory.ts';
import * as slots from './memory/slots.ts';
import type { Range } from './memory/spaceblock.ts';
import { SwapLoss } from './memory/swap/swap.ts';
import type { AccessSize } from './platform/bus.ts';
import { Cpu, type CpuStop } from './platform/cpu.ts';
import { GuestRam } from './platform/guestram.ts';
import { kvmCpuid } from './platform/kvm.ts';
import type { EntryState } from './platform/loader/load.ts';
import { memoryMap } from './platform/memorymap.ts';
import { Pc } from './platform/pc.ts';
import { PciBus } from './platform/pci/bus.ts';
import { PciConfigPorts } from './platform/pci/configports.ts';
import { hostBridge } from './platform/pci/hostbridge.ts';
import { loadBytes } from './platform/pci/registers.ts';
import { hashOf } from './state/hash.ts';
import { type Stateful, StateReader, StateWriter } from './state/state.ts';
import { VirtioBalloon } from './virtio/balloon/balloon.ts';
import type { BlockBackend } from './virtio/block/backend.ts';
import { VirtioBlock } from './virtio/block/block.ts';
import { ChaCha20 } from './virtio/chacha20.ts';
import { type ConsolePort, VirtioConsole } from './virtio/console/console.ts';
import type { VirtioDevice, VirtioEnvironment } from './virtio/device.ts';
import { VirtioNet } from './virtio/net/net.ts';
import type { FrameReceiver, SwitchPort } from './virtio/net/switch.ts';
import { VirtioPci } from './virtio/pci.ts';
import { VirtioRng } from './virtio/rng.ts';
import type { Engine } from './x86/engine.ts';
import { Processors } from './x86/processors.ts';

/** What a guest is made of. */
export interface GuestOptions {
  /** RAM in bytes; a multiple of 4 KiB. */
  readonly memory: number;
  /** Number of vCPUs, 1 … 64. */
  readonly cpus: number;
  /** Where the guest's randomness comes from. */
  readonly seed: number;
  /** Seconds since 1970-01-01 00:00 UTC at power-on. */
  readonly epoch: number;
  /** Takes what the guest writes to its serial port, byte by byte. */
  readonly serialOutput: (byte: number) => void;
  /** The host's ends of the virtio console's ports; the first is the console itself. */
  readonly ports: readonly ConsolePort[];
  /** Disks, in the order of their slots. */
  readonly disks: readonly BlockBackend[];
  /** Feature bits of the balloon (`balloon/settings.ts`, `virtio/balloon/features.ts`). */
  readonly balloonFeatures: readonly number[];
  /** Virtual ns between requests for the balloon's statistics; none are asked for when not given. */
  readonly statsInterval?: number;
  /** The switch that its network card is connected to, and its place there: it makes the card's address. */
  readonly network: { readonly connect: GuestNetwork; readonly station: number };
  /** False when the host must not merge its memory. */
  readonly mergeable?: boolean;
  /** Weight of each of its vCPUs when physical CPUs are short, 1 … 10,000; 100 when not given. */
  readonly cpuWeight?: number;
}

/** What a guest's network card is connected to: the host's switch, or what leads there from another thread. */
export interface GuestNetwork {
  /** Gives a port to the guest. */
  connect(receiver: FrameReceiver): SwitchPort;
  /** The guest is gone. Between rounds. */
  disconnect(port: SwitchPort): void;
}

/** The host around a guest, as far as the guest's thread sees it. */
export interface GuestHost {
  readonly engine: Engine;
  readonly pages: {
    /** Makes a guest's memory. */
    add(ram: readonly Range[], mergeable: boolean): AddressSpace;
    /** Takes it back. */
    remove(space: AddressSpace): void;
  };
  readonly costs: Costs;
  /** Virtual time in ns: where the present round began, and between rounds where the next begins. */
  readonly time: number;
}

/** How a guest's run ended, if it did. */
export type GuestEnd =
  | { readonly kind: 'power off' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'debug exit'; readonly value: number }
  | { readonly kind: 'error'; readonly reason: string };

/** Turn of a vCPU, in ns of virtual time, when a guest has several. */
const turn = 20_000;
/** Virtual ns that a disk request takes. */
const diskLatency = STORAGE_PROFILES.nvme.readLatency;
const largestFrame = 1500;
/** What an access costs the CPU, by how it is served. */
const exitCosts = { kernel: 'exitLight', user: 'exitUser', signal: 'virtioKick' } as const;

/** See the top of this file. */
export class Guest implements Stateful {
  readonly cpus: readonly Cpu[];
  readonly pc: Pc;
  readonly space: AddressSpace;
  readonly console: VirtioConsole;
  readonly balloon: VirtioBalloon;
  /** How it ended; undefined while it can go on. */
  end: GuestEnd | undefined;
  readonly measures = new Measures();
  readonly #host: GuestHost;
  readonly #network: GuestNetwork;
  readonly #port: SwitchPort;
  readonly #timers: TimerQueue;
  readonly #pci: PciBus;
  readonly #configPorts: PciConfigPorts;
  readonly #functions: VirtioPci[] = [];
  readonly #seed: number;
  readonly #processors: Processors;
  readonly #ram: GuestRam;
  #time = 0;
  /** For each vCPU, whether the guest was told that it lost its physical CPU. */
  readonly #shownOut: Uint8Array;
  /** End of the present turn. */
  #turnEnd = 0;
  #current = 0;

  constructor(host: GuestHost, options: GuestOptions) {
    this.#host = host;
    const { costs } = host;
    this.#seed = options.seed;
    const clock: Clock = { now: () => processors.readTime(this.time) };
    this.#timers = new TimerQueue(() => this.#eventNearer());
    const map = memoryMap(options.memory);
    this.space = host.pages.add(
      map.ram.map(({ start, end }) => ({ start, length: end - start })),
      options.mergeable ?? true,
    );
    this.space.listener = this.measures;
    this.space.onReserveUsed = () => this.#stopTurn();
    const processors = new Processors(host.engine, this.space, options.cpus, (index) => ({
      mmioRead: (address, size) => this.pc.mmio.read(address, size as AccessSize),
      mmioWrite: (address, size, value) => this.pc.mmio.write(address, size as AccessSize, value),
      portRead: (port, size) => this.pc.ports.read(port, size as AccessSize),
      portWrite: (port, size, value) => this.pc.ports.write(port, size as AccessSize, value),
      readCr8: () => this.pc.apics[index]!.cr8,
      writeCr8: (value) => {
        this.pc.apics[index]!.cr8 = value;
      },
      msrs: [
        {
          readMsr: (number) => {
            this.cpus[index]!.charge(costs.exitLight);
            return this.pc.readMsr(index, number);
          },
          writeMsr: (number, value) => {
            this.cpus[index]!.charge(costs.exitLight);
            return this.pc.writeMsr(index, number, value);
          },
        },
      ],
      cpuidExits: () => this.cpus[index]!.charge(costs.exitLight),
      tscChanged: () => this.pc.tscChanged(index),
      hypervisorLeaf: (leaf) => {
        const result = kvmCpuid(leaf);
        return result === undefined ? undefined : [result.eax, result.ebx, result.ecx, result.edx];
      },
    }));
    this.#processors = processors;
    this.#shownOut = new Uint8Array(options.cpus);
    this.cpus = processors.vcpus.map(
      (vcpu, index) =>
        new Cpu(
          vcpu,
          index === 0,
          () => this.pc.apics[index]!,
          (page, write, now) => this.space.fault(index, page, write, now),
          costs,
        ),
    );
    // Switched off until `boot`: time passes, and nothing is executed.
    this.cpus[0]!.waitsForStartup = true;
    const ram = new GuestRam(this.space, (page) => processors.contentsChange(page));
    this.#ram = ram;
    this.pc = new Pc(
      { memory: options.memory, epoch: options.epoch },
      {
        clock,
        timers: this.#timers,
        memory: ram,
        cpus: this.cpus,
        currentCpu: () => this.#current,
        exit: (exit) => this.cpus[this.#current]!.charge(costs[exitCosts[exit]]),
        serialOutput: options.serialOutput,
        powerOff: () => this.#finish({ kind: 'power off' }),
        reset: () => this.#finish({ kind: 'reset' }),
        debugExit: (value) => this.#finish({ kind: 'debug exit', value }),
      },
    );
    const { ports, mmio } = this.pc;
    this.#pci = new PciBus(
      ports,
      mmio,
      Array.from({ length: 8 }, (_, i) => this.pc.gsi(16 + i)),
    );
    this.#configPorts = new PciConfigPorts(ports, this.#pci, () => this.#finish({ kind: 'reset' }));
    this.#pci.plug(0, hostBridge());
    const environment: VirtioEnvironment = {
      clock,
      timers: this.#timers,
      memory: ram,
      // An event comes later than what causes it.
      kickDelay: Math.max(1, costs.virtioService),
    };
    this.console = new VirtioConsole(environment, {
      name: 'console',
      ports: options.ports,
      columns: 80,
      rows: 25,
    });
    this.#plug(this.console);
    this.balloon = new VirtioBalloon(environment, {
      name: 'balloon',
      features: options.balloonFeatures,
      inflateTime: costs.balloonInflate,
      deflateTime: costs.balloonDeflate,
      host: {
        inflate: (page, count) => processors.discard(page, count, slots.ballooned),
        // A page that left the balloon gets a frame when it is touched.
        deflate: (page, count) => {
          for (let each = page; each < page + count; each++) this.space.returned(each);
        },
        // The guest may have taken a page into use since it put it on its list: then it was written. But some kernels write zeros to each page
        // that they take into use, and to these free ones, too (Linux's init_on_alloc); and zeros are what the next touch would find.
        hint: (address, length) => {
          for (let page = address / pageSize, end = page + length / pageSize; page < end; page++) {
            if (this.space.isUnwritten(page) || this.space.isZero(page))
              processors.discard(page, 1, slots.reported);
          }
        },
        report: (address, length) =>
          processors.discard(address / pageSize, length / pageSize, slots.reported),
      },
    });
    this.#plug(this.balloon);
    if (options.statsInterval !== undefined) this.balloon.setStatsInterval(options.statsInterval);
    this.#plug(new VirtioRng(environment, 'entropy', new ChaCha20(secret(this.#seed, 'entropy'))));
    const { connect, station } = options.network;
    let port!: SwitchPort;
    this.#plug(
      new VirtioNet(environment, {
        name: 'network',
        // Locally administered (bit 1 of the first byte).
        mac: Uint8Array.of(0x52, 0x50, 0x46, 0, station >> 8, station & 0xff),
        mtu: largestFrame,
        connect: (receiver) => {
          port = connect.connect(receiver);
          return port;
        },
      }),
    );
    this.#network = connect;
    this.#port = port;
    options.disks.forEach((backend, index) => {
      const name = `disk ${index}`;
      this.#plug(
        new VirtioBlock(environment, { name, backend, serial: `pagefold-${index}`, latency: diskLatency }),
      );
    });
  }

  #plug({ device }: { readonly device: VirtioDevice }): void {
    const pci = new VirtioPci(device, this.pc.message);
    this.#functions.push(pci);
    this.#pci.plug(this.#functions.length, pci.pciFunction);
  }

  #finish(end: GuestEnd): void {
    this.end ??= end;
    this.#stopTurn();
  }

  /** The present turn ends behind the present instruction. */
  #stopTurn(): void {
    const cpu = this.cpus[this.#current]!;
    if (cpu.running) cpu.vcpu.stopSoon();
    this.#turnEnd = this.time;
  }

  /** A device armed a timer before all others: the turn ends there. */
  #eventNearer(): void {
    const { next } = this.#timers;
    if (next >= this.#turnEnd) return;
    this.#turnEnd = next;
    const cpu = this.cpus[this.#current]!;
    if (cpu.running) cpu.vcpu.stopSoon();
  }

  /** Virtual time in ns, whether or not it is switched on. */
  get time(): number {
    const cpu = this.cpus[this.#current];
    if (cpu?.running === true) return cpu.now;
    // While it has nothing to do it is not looked at, and its time passes with the host's.
    return this.end === undefined ? Math.max(this.#time, this.#host.time) : this.#time;
  }

  /** When something happens that may wake a vCPU, in virtual ns; Infinity when nothing is due. */
  get nextEvent(): number {
    return this.#timers.next;
  }

  /** When it has something to do again, in virtual ns, as far as it knows: a time that has passed for now, Infinity for never. */
  get wake(): number {
    if (this.end !== undefined) return Number.POSITIVE_INFINITY;
    let wake = this.#timers.next;
    for (const cpu of this.cpus) if (!cpu.idle) wake = Math.min(wake, cpu.blockedUntil);
    return wake;
  }

  /** Asks for hints which pages are free; the host takes those that are not written to meanwhile. Between rounds. */
  askForHints(): void {
    this.space.watchWrites();
    this.balloon.startHinting();
  }

  /** A vCPU that waited for the host since `since`, by a fault of that cause, goes on at virtual time `time`. */
  resume(cpu: number, time: number, since: number, cause: FaultCause): void {
    this.cpus[cpu]!.blockedUntil = time;
    this.measures.stall(time - since);
    this.measures.fault(cause, time - since);
  }

  /** The host ends it. */
  stop(reason: string): void {
    this.end ??= { kind: 'error', reason };
  }

  /** Gives everything back that it has on the host; it is of no use any more. */
  dispose(): void {
    this.stop('it was removed from the host');
    this.#network.disconnect(this.#port);
    this.#processors.dispose();
    this.#host.pages.remove(this.space);
  }

  /** Instructions retired by all vCPUs. */
  get instructions(): number {
    return this.cpus.reduce((sum, cpu) => sum + cpu.retired, 0);
  }

  /** Of these, those executed as translated code since power-on. */
  get translatedInstructions(): number {
    return this.cpus.reduce((sum, { vcpu }) => sum + vcpu.translatedInstructions, 0);
  }

  /** Loads a kernel and puts the first CPU at its entry. Throws `BootError` when the files do not fit. */
  boot(files: GuestFiles): void {
    this.enter(loadGuest(this.#ram, files, this.pc.memoryMap, this.cpus.length, this.#seed));
  }

  /** Puts the first CPU at the entry of a kernel that {@link loadGuest} has put into its memory. */
  enter(entry: EntryState): void {
    this.cpus.forEach((cpu, index) => {
      cpu.vcpu.seedRandom(secret(this.#seed, `cpu ${index}`));
    });
    // Until now it was switched off, and waited for nothing.
    this.#catchUp();
    this.pc.start();
    this.cpus[0]!.enterKernel(entry);
    this.cpus[0]!.waitsForStartup = false;
  }

  /** Bytes come in on the serial port. */
  serialInput(bytes: Uint8Array): void {
    this.pc.uart.receive(bytes);
  }

  /**
   * Lets the guest run up to virtual time `until` (ns), or until it ends, or until it needs frames that only the host can
   * grant: then it goes on when it is called next.
   */
  run(until: number): void {
    try {
      this.#catchUp();
      this.#run(until);
    } catch (error) {
      if (!(error instanceof SwapLoss) && !(error instanceof OutOfFrames)) throw error;
      const event = error instanceof OutOfFrames ? 'out of memory' : 'swap loss';
      this.space.failure = { event, reason: error.message };
      this.#finish({ kind: 'error', reason: error.message });
    }
  }

  /** Time has passed on the host in which it had nothing to do, or could do nothing. */
  #catchUp(): void {
    this.#time = this.time;
    const { starvedSince } = this.space;
    for (const cpu of this.cpus) {
      if (cpu.time >= this.#time) continue;
      // It could not run for want of frames.
      const since = Math.max(cpu.time, cpu.blockedUntil, starvedSince);
      if (!cpu.idle && since < this.#time) this.measures.stall(this.#time - since);
      cpu.time = this.#time;
    }
    this.space.starvedSince = Number.POSITIVE_INFINITY;
  }

  #run(until: number): void {
    const alone = this.cpus.length === 1;
    this.#showSteal();
    // Before events wake those that sleep.
    this.#settle();
    while (this.#time < until && this.end === undefined) {
      this.#timers.run(this.#time, () => this.space.ready);
      if (!this.space.ready) {
        this.space.starvedSince = Math.min(this.space.starvedSince, this.#time);
        return;
      }
      this.#settle();
      const event = Math.min(until, this.#timers.next);
      const action = this.#nextAction();
      if (action > this.#time) {
        this.#time = Math.max(this.#time, Math.min(event, action));
        for (const cpu of this.cpus) {
          if (cpu.hasCpu) cpu.time = Math.max(cpu.time, this.#time);
          else cpu.passBy(this.#time);
        }
        continue;
      }
      this.#turnEnd = alone ? event : Math.min(event, this.#time + turn);
      for (const [index, cpu] of this.cpus.entries()) {
        this.#current = index;
        if (!cpu.hasCpu) {
          cpu.passBy(this.#turnEnd);
          continue;
        }
        const stop = cpu.run(() => this.#turnEnd, alone);
        if (stop !== undefined) this.#finish({ kind: 'error', reason: this.#reason(stop) });
        if (this.end !== undefined) break;
      }
      this.#time = Math.max(this.#time, this.#turnEnd);
    }
  }

  /** Makes up for mappings that the host has changed: each vCPU that executes is interrupted for it. Changes between two rounds are one. */
  #settle(): void {
    this.#processors.settle();
    if (!this.space.shotDown) return;
    this.space.shotDown = false;
    for (const cpu of this.cpus) if (cpu.hasCpu) cpu.shootDown();
  }

  /** When one of its vCPUs that have a physical CPU can execute, without an event that wakes it: Infinity when none can. */
  #nextAction(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const cpu of this.cpus) if (cpu.hasCpu && !cpu.idle) next = Math.min(next, cpu.blockedUntil);
    return next;
  }

  /** Tells the guest which of its vCPUs lost their physical CPU, and what was stolen from those that have one again. */
  #showSteal(): void {
    for (const [index, cpu] of this.cpus.entries()) {
      // The structure may be on a page that needs a frame; who is not told now is told in a later round.
      if (!this.space.ready) return;
      const kvm = this.pc.kvm[index]!;
      const shown = this.#shownOut[index] !== 0;
      if (!cpu.hasCpu && !cpu.idle && !shown) {
        kvm.scheduledOut();
        this.#shownOut[index] = 1;
      } else if (cpu.hasCpu && (shown || cpu.stolen > 0)) {
        this.measures.steal(cpu.stolen);
        kvm.scheduledIn(cpu.stolen);
        cpu.stolen = 0;
        this.#shownOut[index] = 0;
      }
    }
  }

  #reason(stop: CpuStop): string {
    return stop.kind === 'shutdown'
      ? 'triple fault: an exception could not be delivered, nor the double fault'
      : `the guest executes at guest-physical 0x${stop.address.toString(16)}, where it has no memory`;
  }

  saveState(to: StateWriter): void {
    to.bytes(this.machineState());
    to.part('memory', this.space);
  }

  loadState(from: StateReader): void {
    this.takeMachineState(from.bytes());
    from.part('memory', this.space);
  }

  /** The state of everything but the memory. */
  machineState(): Uint8Array {
    const to = new StateWriter();
    if (this.end === undefined) this.#catchUp();
    to.number(this.#time);
    to.bytes(this.#shownOut);
    to.part('measures', this.measures);
    this.cpus.forEach((cpu, index) => {
      to.part(`cpu ${index}`, cpu);
    });
    to.part('processors', this.#processors);
    to.part('timers', this.#timers);
    to.part('pc', this.pc);
    to.part('pci ports', this.#configPorts);
    to.part('pci', this.#pci);
    for (const each of this.#functions) to.part(each.device.model.name, each);
    return to.finish();
  }

  /** Takes up the state of everything but the memory. */
  takeMachineState(state: Uint8Array): void {
    const from = new StateReader(state);
    this.#time = from.number();
    loadBytes(from, this.#shownOut);
    from.part('measures', this.measures);
    this.cpus.forEach((cpu, index) => {
      from.part(`cpu ${index}`, cpu);
    });
    from.part('processors', this.#processors);
    from.part('timers', this.#timers);
    from.part('pc', this.pc);
    from.part('pci ports', this.#configPorts);
    from.part('pci', this.#pci);
    for (const each of this.#functions) from.part(each.device.model.name, each);
  }

  /** SHA-256 of the guest's whole state, in hexadecimal. */
  stateHash(): string {
    return hashOf(this);
  }
}
