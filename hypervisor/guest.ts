/**
 * One virtual machine: vCPUs, memory and devices, run in virtual time.
 *
 * The CPUs of a guest take turns of a few microseconds of virtual time each; a guest with one CPU runs from one event
 * to the next. Everything happens in an order that depends on the guest alone.
 */
import { createHash } from 'node:crypto';
import { type Clock, TimerQueue } from './clock/timers.ts';
import { AddressSpace } from './memory/addressspace.ts';
import type { FramePool } from './memory/frames.ts';
import { type HostMemory, pageSize } from './memory/hostmemory.ts';
import type { AccessSize } from './platform/bus.ts';
import { Cpu, type CpuStop } from './platform/cpu.ts';
import { GuestRam } from './platform/guestram.ts';
import { kvmCpuid } from './platform/kvm.ts';
import type { BootFiles } from './platform/loader/load.ts';
import { memoryMap } from './platform/memorymap.ts';
import { Pc } from './platform/pc.ts';
import { PciBus } from './platform/pci/bus.ts';
import { PciConfigPorts } from './platform/pci/configports.ts';
import { hostBridge } from './platform/pci/hostbridge.ts';
import { type Stateful, type StateReader, StateWriter } from './state/state.ts';
import { VirtioBalloon } from './virtio/balloon/balloon.ts';
import type { BlockBackend } from './virtio/block/backend.ts';
import { VirtioBlock } from './virtio/block/block.ts';
import { ChaCha20 } from './virtio/chacha20.ts';
import { type ConsolePort, VirtioConsole } from './virtio/console/console.ts';
import type { VirtioDevice, VirtioEnvironment } from './virtio/device.ts';
import { VirtioNet } from './virtio/net/net.ts';
import type { EthernetSwitch } from './virtio/net/switch.ts';
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
  /** Feature bits of the balloon (`virtio/balloon/features.ts`). */
  readonly balloonFeatures: readonly number[];
  /** The switch that its network card is connected to, and its place there: it makes the card's address. */
  readonly network: { readonly connect: EthernetSwitch; readonly station: number };
}

/** How a guest's run ended, if it did. */
export type GuestEnd =
  | { readonly kind: 'power off' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'debug exit'; readonly value: number }
  | { readonly kind: 'error'; readonly reason: string };

/** Turn of a vCPU, in ns of virtual time, when a guest has several. */
const turn = 20_000;
/** Virtual ns from a driver's notification to the device's service: an exit (0.7 µs) and the wake-up of the device's thread (4 µs). */
const kickDelay = 4_700;
/** Virtual ns that a disk request takes: an NVMe drive's read, queue depth 1. */
const diskLatency = 90_000;
const largestFrame = 1500;

/** See the top of this file. */
export class Guest implements Stateful {
  readonly cpus: readonly Cpu[];
  readonly pc: Pc;
  readonly space: AddressSpace;
  readonly console: VirtioConsole;
  readonly balloon: VirtioBalloon;
  /** How it ended; undefined while it can go on. */
  end: GuestEnd | undefined;
  readonly #timers: TimerQueue;
  readonly #pci: PciBus;
  readonly #configPorts: PciConfigPorts;
  readonly #functions: VirtioPci[] = [];
  readonly #seed: number;
  readonly #processors: Processors;
  #time = 0;
  /** End of the present turn. */
  #turnEnd = 0;
  #current = 0;

  constructor(engine: Engine, memory: HostMemory, frames: FramePool, options: GuestOptions) {
    this.#seed = options.seed;
    const clock: Clock = { now: () => processors.readTime(this.time) };
    this.#timers = new TimerQueue(() => this.#eventNearer());
    const map = memoryMap(options.memory);
    this.space = new AddressSpace(
      memory,
      frames,
      map.ram.map(({ start, end }) => ({ start, length: end - start })),
    );
    const processors = new Processors(engine, this.space, options.cpus, (index) => ({
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
          readMsr: (number) => this.pc.readMsr(index, number),
          writeMsr: (number, value) => this.pc.writeMsr(index, number, value),
        },
      ],
      tscChanged: () => this.pc.tscChanged(index),
      hypervisorLeaf: (leaf) => {
        const result = kvmCpuid(leaf);
        return result === undefined ? undefined : [result.eax, result.ebx, result.ecx, result.edx];
      },
    }));
    this.#processors = processors;
    this.cpus = processors.vcpus.map(
      (vcpu, index) =>
        new Cpu(
          vcpu,
          index === 0,
          () => this.pc.apics[index]!,
          (page) => this.space.touch(page),
        ),
    );
    const ram = new GuestRam(this.space, (page) => processors.contentsChange(page));
    this.pc = new Pc(
      { memory: options.memory, epoch: options.epoch },
      {
        clock,
        timers: this.#timers,
        memory: ram,
        cpus: this.cpus,
        currentCpu: () => this.#current,
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
    const environment: VirtioEnvironment = { clock, timers: this.#timers, memory: ram, kickDelay };
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
      host: {
        inflate: (page, count) => processors.discard(page, count),
        // A page that left the balloon gets a frame when it is touched.
        deflate: () => {},
        // Without a record of what was written since, a hint says nothing safe.
        hint: () => {},
        report: (address, length) => processors.discard(address / pageSize, length / pageSize),
      },
    });
    this.#plug(this.balloon);
    this.#plug(new VirtioRng(environment, 'entropy', new ChaCha20(this.#secret('entropy'))));
    const { connect, station } = options.network;
    this.#plug(
      new VirtioNet(environment, {
        name: 'network',
        // Locally administered (bit 1 of the first byte).
        mac: Uint8Array.of(0x52, 0x50, 0x46, 0, station >> 8, station & 0xff),
        mtu: largestFrame,
        connect: (receiver) => connect.connect(receiver),
      }),
    );
    options.disks.forEach((backend, index) => {
      const name = `disk ${index}`;
      this.#plug(
        new VirtioBlock(environment, { name, backend, serial: `pagefold-${index}`, latency: diskLatency }),
      );
    });
  }

  /** 32 bytes of the guest's randomness for one use. */
  #secret(use: string): Uint8Array {
    return createHash('sha256').update(`${use} ${this.#seed}`).digest();
  }

  #plug({ device }: { readonly device: VirtioDevice }): void {
    const pci = new VirtioPci(device, this.pc.message);
    this.#functions.push(pci);
    this.#pci.plug(this.#functions.length, pci.pciFunction);
  }

  #finish(end: GuestEnd): void {
    this.end ??= end;
    this.cpus[this.#current]!.vcpu.stopSoon();
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

  /** Virtual time in ns since power-on. */
  get time(): number {
    const cpu = this.cpus[this.#current];
    return cpu?.running === true ? cpu.now : this.#time;
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
  boot(files: Omit<BootFiles, 'rngSeed'>): void {
    this.cpus.forEach((cpu, index) => {
      cpu.vcpu.seedRandom(this.#secret(`cpu ${index}`));
    });
    this.cpus[0]!.enterKernel(this.pc.boot({ ...files, rngSeed: this.#secret('kernel') }));
  }

  /** Lets the guest run up to virtual time `until` (ns), or until it ends. */
  run(until: number): void {
    const alone = this.cpus.length === 1;
    while (this.#time < until && this.end === undefined) {
      this.#timers.run(this.#time);
      const { next } = this.#timers;
      if (this.cpus.every((cpu) => cpu.idle)) {
        this.#time = Math.max(this.#time, Math.min(until, next));
        for (const cpu of this.cpus) cpu.time = Math.max(cpu.time, this.#time);
        continue;
      }
      this.#turnEnd = Math.min(until, next, alone ? Number.POSITIVE_INFINITY : this.#time + turn);
      for (const [index, cpu] of this.cpus.entries()) {
        this.#current = index;
        const stop = cpu.run(() => this.#turnEnd, alone);
        if (stop !== undefined) this.#finish({ kind: 'error', reason: this.#reason(stop) });
        if (this.end !== undefined) break;
      }
      this.#time = Math.max(this.#time, this.#turnEnd);
    }
  }

  #reason(stop: CpuStop): string {
    return stop.kind === 'shutdown'
      ? 'triple fault: an exception could not be delivered, nor the double fault'
      : `the guest executes at guest-physical 0x${stop.address.toString(16)}, where it has no memory`;
  }

  saveState(to: StateWriter): void {
    to.number(this.#time);
    this.cpus.forEach((cpu, index) => {
      to.part(`cpu ${index}`, cpu);
    });
    to.part('processors', this.#processors);
    to.part('timers', this.#timers);
    to.part('pc', this.pc);
    to.part('pci ports', this.#configPorts);
    to.part('pci', this.#pci);
    for (const each of this.#functions) to.part(each.device.model.name, each);
    to.part('memory', this.space);
  }

  loadState(from: StateReader): void {
    this.#time = from.number();
    this.cpus.forEach((cpu, index) => {
      from.part(`cpu ${index}`, cpu);
    });
    from.part('processors', this.#processors);
    from.part('timers', this.#timers);
    from.part('pc', this.pc);
    from.part('pci ports', this.#configPorts);
    from.part('pci', this.#pci);
    for (const each of this.#functions) from.part(each.device.model.name, each);
    from.part('memory', this.space);
  }

  /** SHA-256 of the guest's whole state, in hexadecimal. */
  stateHash(): string {
    const writer = new StateWriter();
    this.saveState(writer);
    return createHash('sha256').update(writer.finish()).digest('hex');
  }
}
