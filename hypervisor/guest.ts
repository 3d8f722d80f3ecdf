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
import type { HostMemory } from './memory/hostmemory.ts';
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
import { type ConsolePort, VirtioConsole } from './virtio/console/console.ts';
import type { VirtioEnvironment } from './virtio/device.ts';
import { VirtioPci } from './virtio/pci.ts';
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
}

/** How a guest's run ended, if it did. */
export type GuestEnd =
  | { readonly kind: 'power off' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'debug exit'; readonly value: number }
  | { readonly kind: 'error'; readonly reason: string };

/** Turn of a vCPU, in ns of virtual time, when a guest has several. */
const turn = 5_000;
/** Virtual ns from a driver's notification to the device's service: an exit and a wake-up of the device's thread (`facts`: 0.7 + 4 µs). */
const kickDelay = 4_700;

/** See the top of this file. */
export class Guest implements Stateful {
  readonly cpus: readonly Cpu[];
  readonly pc: Pc;
  readonly space: AddressSpace;
  readonly console: VirtioConsole;
  /** How it ended; undefined while it can go on. */
  end: GuestEnd | undefined;
  readonly #timers: TimerQueue;
  readonly #pci: PciBus;
  readonly #configPorts: PciConfigPorts;
  readonly #functions: VirtioPci[] = [];
  readonly #seed: number;
  #time = 0;
  /** End of the present turn. */
  #turnEnd = 0;
  #current = 0;

  constructor(engine: Engine, memory: HostMemory, frames: FramePool, options: GuestOptions) {
    this.#seed = options.seed;
    const clock: Clock = { now: () => this.time };
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
    this.#plug(new VirtioPci(this.console.device, this.pc.message));
  }

  #plug(pci: VirtioPci): void {
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

  /** Loads a kernel and puts the first CPU at its entry. Throws `BootError` when the files do not fit. */
  boot(files: Omit<BootFiles, 'rngSeed'>): void {
    const rngSeed = createHash('sha256').update(`kernel ${this.#seed}`).digest();
    this.cpus.forEach((cpu, index) => {
      cpu.vcpu.seedRandom(createHash('sha256').update(`cpu ${this.#seed} ${index}`).digest());
    });
    this.cpus[0]!.enterKernel(this.pc.boot({ ...files, rngSeed }));
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
