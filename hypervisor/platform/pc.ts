/**
 * The PC around the CPUs: its buses with everything on them that is not PCI, its interrupt wiring, and what its
 * firmware would have done before a kernel starts.
 *
 * Interrupts: a device drives the wire of a global system interrupt. Wires 0 … 15 are the ISA interrupts; they
 * reach the 8259As and the I/O APIC (IRQ 0 its input 2). Wires 16 … 23 are PCI's; they reach the I/O APIC, and
 * the 8259As' IRQ 10 or 11 for kernels that do not use it. The 8259As reach LINT0 of every local APIC.
 */
import type { Clock, TimerQueue } from '../clock/timers.ts';
import { type Stateful, StateReader, StateWriter } from '../state/state.ts';
import { pciIsaIrq } from './acpi/dsdt.ts';
import { acpiTables, MAX_CPUS, SCI_IRQ, TIMER_GSI } from './acpi/tables.ts';
import { readMmio, readMsr, writeMmio, writeMsr } from './apic/access.ts';
import type { ApicCpu, ApicTime } from './apic/cpu.ts';
import { LocalApic } from './apic/localapic.ts';
import { InterruptNetwork } from './apic/network.ts';
import { REGISTER } from './apic/registers.ts';
import {
  type AccessExit,
  type GuestMemory,
  type InterruptLine,
  type MessageInterrupt,
  MmioBus,
  PortBus,
} from './bus.ts';
import { DEBUG_EXIT_PORT, debugExit } from './debugexit.ts';
import { IOAPIC_INPUTS, IOAPIC_LENGTH, IoApic } from './ioapic.ts';
import { type ByteDevice, eightBit } from './isa.ts';
import { KVM_MSR, KvmMsrs } from './kvm.ts';
import { type BootFiles, type EntryState, loadLinux } from './loader/load.ts';
import { IOAPIC_BASE, LOCAL_APIC_BASE, type MemoryMap, memoryMap } from './memorymap.ts';
import { Pic } from './pic.ts';
import { Pit } from './pit.ts';
import { PM_PORTS, PowerManagement } from './pm.ts';
import { Port92, type ResetKind } from './reset.ts';
import { Rtc } from './rtc.ts';
import { Uart } from './uart.ts';
import { InterruptWires } from './wires.ts';

/** What distinguishes one PC from another. */
export interface PcConfig {
  /** Bytes of RAM, as {@link memoryMap} takes them. */
  readonly memory: number;
  /** Seconds since 1970-01-01 00:00 UTC at virtual time 0. */
  readonly epoch: number;
}

/** A CPU as the PC sees it. Its local APIC's ID is its place in {@link PcEnvironment.cpus}. */
export interface PcCpu extends ApicCpu, ApicTime {
  /** The time-stamp counter now: virtual time in ns plus the CPU's own offset. */
  tsc(): bigint;
}

/** What the machine around the PC provides. */
export interface PcEnvironment {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly memory: GuestMemory;
  /** 1 … 64 CPUs; the first is the bootstrap processor. */
  readonly cpus: readonly PcCpu[];
  /** The index of the CPU whose memory access is being carried out. */
  readonly currentCpu: () => number;
  /** Called before that access reaches its device. */
  readonly exit: (exit: AccessExit) => void;
  /** Takes each byte that the guest writes to its serial port. */
  readonly serialOutput: (byte: number) => void;
  /** The guest has switched itself off. This and the next two are called inside the guest's write. */
  readonly powerOff: () => void;
  readonly reset: (kind: ResetKind) => void;
  /** The guest has written to the debug exit port. */
  readonly debugExit: (value: number) => void;
}

const COM1 = { port: 0x3f8, irq: 4 } as const;
const RTC_IRQ = 8;
const ISA_WIRES = 16;

/** For each 8259A input, the wires that reach it. */
const PIC_WIRES: readonly (readonly number[])[] = Array.from({ length: ISA_WIRES }, (_, irq) =>
  Array.from({ length: IOAPIC_INPUTS }, (_, wire) => wire).filter(
    (wire) => (wire < ISA_WIRES ? wire : pciIsaIrq(wire)) === irq,
  ),
);

/**
 * Does to a PC's memory what firmware and boot loader do after power-on or reset: writes the ACPI tables, loads the kernel. Returns the
 * state in which the bootstrap processor enters it.
 * @param cpus number of CPUs
 * @throws BootError when the files do not fit each other or the machine; then nothing was written
 */
export function loadPc(files: BootFiles, map: MemoryMap, cpus: number, memory: GuestMemory): EntryState {
  const tables = acpiTables(cpus);
  const entry = loadLinux(files, map, tables.address, memory);
  memory.write(tables.address, tables.bytes);
  return entry;
}

/** One PC without its CPUs, its RAM and its PCI bus. */
export class Pc implements Stateful {
  /** I/O ports; the PCI host bridge attaches to them as well. */
  readonly ports: PortBus;
  /** Guest-physical addresses that are not RAM. */
  readonly mmio: MmioBus;
  readonly memoryMap: MemoryMap;
  /** The local APIC of each CPU. */
  readonly apics: readonly LocalApic[];
  /** KVM's MSRs of each CPU. */
  readonly kvm: readonly KvmMsrs[];
  /** COM1. */
  readonly uart: Uart;
  readonly pm: PowerManagement;
  /** Delivers message-signalled interrupts. */
  readonly message: MessageInterrupt;
  readonly #environment: PcEnvironment;
  readonly #wires: InterruptWires;
  readonly #pic: Pic;
  readonly #ioapic: IoApic;
  readonly #rtc: Rtc;
  /** Everything that a reset brings back to its state at power-on, in the order in which it is saved. */
  readonly #parts: readonly (readonly [name: string, part: Stateful])[];
  readonly #powerOn: Uint8Array;

  constructor(config: PcConfig, environment: PcEnvironment) {
    const { clock, timers, cpus, memory } = environment;
    if (cpus.length < 1 || cpus.length > MAX_CPUS) {
      throw new RangeError(`a machine has 1 to ${MAX_CPUS} CPUs, not ${cpus.length}; give such a number`);
    }
    this.#environment = environment;
    this.ports = new PortBus(environment.exit);
    this.mmio = new MmioBus(environment.exit);
    this.memoryMap = memoryMap(config.memory);
    const network = new InterruptNetwork();
    this.message = network.message;
    this.#pic = new Pic((asserted) => {
      for (const apic of this.apics) apic.setLint0(asserted);
    });
    this.apics = cpus.map(
      (cpu, id) => new LocalApic({ id, cpu, time: cpu, clock, timers, network, external: this.#pic }),
    );
    this.#ioapic = new IoApic(network);
    this.#wires = new InterruptWires((wire, asserted) => this.#wireChanged(wire, asserted));
    this.kvm = cpus.map(
      (cpu) =>
        new KvmMsrs({ memory, epoch: config.epoch, now: () => ({ time: clock.now(), tsc: cpu.tsc() }) }),
    );
    const pit = new Pit(clock, timers, this.gsi(0));
    this.#rtc = new Rtc(config.epoch, clock, timers, this.gsi(RTC_IRQ));
    this.uart = new Uart(this.gsi(COM1.irq), environment.serialOutput);
    this.pm = new PowerManagement(clock, timers, { sci: this.gsi(SCI_IRQ), powerOff: environment.powerOff });
    const port92 = new Port92(environment.reset);

    this.#attachPorts('8259A', this.#pic, [0x20, 2], [0xa0, 2], [0x4d0, 2]);
    this.#attachPorts('8254', pit, [0x40, 4], [0x61, 1]);
    this.#attachPorts('real-time clock', this.#rtc, [0x70, 2]);
    this.#attachPorts('COM1', this.uart, [COM1.port, 8]);
    this.#attachPorts(
      'power management',
      this.pm,
      [PM_PORTS.event, PM_PORTS.count],
      [PM_PORTS.smiCommand, 1],
    );
    this.#attachPorts('port 0x92', port92, [0x92, 1]);
    this.ports.attach('debug exit', DEBUG_EXIT_PORT, 4, debugExit(environment.debugExit));
    this.mmio.attach('I/O APIC', IOAPIC_BASE, IOAPIC_LENGTH, this.#ioapic);
    this.mmio.attach('local APIC', LOCAL_APIC_BASE, 0x1000, {
      exitAt: () => 'kernel',
      readMmio: (offset, size) => readMmio(this.#currentApic, offset, size),
      writeMmio: (offset, size, value) => writeMmio(this.#currentApic, offset, size, value),
    });

    this.#parts = [
      ['wires', this.#wires],
      ['8259A', this.#pic],
      ['I/O APIC', this.#ioapic],
      ...this.apics.map((apic) => [`local APIC ${apic.id}`, apic] as const),
      ...this.kvm.map((msrs, index) => [`KVM ${index}`, msrs] as const),
      ['8254', pit],
      ['COM1', this.uart],
      ['power management', this.pm],
      ['port 0x92', port92],
    ];
    const powerOn = new StateWriter();
    this.#saveParts(powerOn);
    this.#powerOn = powerOn.finish();
  }

  /**
   * Connects a device to a global system interrupt, 0 … 23; each call is one more device on a wire that may be
   * shared.
   */
  gsi(number: number): InterruptLine {
    return this.#wires.source(number);
  }

  /** The NMI button: reaches LINT1 of every local APIC unless port 0x70 masks it. */
  readonly nmi: InterruptLine = (asserted) => {
    for (const apic of this.apics) apic.setLint1(asserted && !this.#rtc.nmiMasked);
  };

  /** Reads an MSR of CPU `cpu` that belongs to its local APIC or to KVM; undefined when that faults. */
  readMsr(cpu: number, index: number): bigint | undefined {
    return isKvm(index) ? this.kvm[cpu]!.readMsr(index) : readMsr(this.apics[cpu]!, index);
  }

  /** Writes such an MSR; false when that faults. */
  writeMsr(cpu: number, index: number, value: bigint): boolean {
    return isKvm(index) ? this.kvm[cpu]!.writeMsr(index, value) : writeMsr(this.apics[cpu]!, index, value);
  }

  /** To be called when CPU `cpu`'s time-stamp counter was written. */
  tscChanged(cpu: number): void {
    this.apics[cpu]!.tscChanged();
    this.kvm[cpu]!.tscChanged();
  }

  /** Brings everything but the clock's calendar and memory back to its state at power-on. */
  reset(): void {
    this.#loadParts(new StateReader(this.#powerOn));
    this.#rtc.reset();
  }

  saveState(to: StateWriter): void {
    this.#saveParts(to);
    to.part('real-time clock', this.#rtc);
  }

  loadState(from: StateReader): void {
    this.#loadParts(from);
    from.part('real-time clock', this.#rtc);
  }

  #saveParts(to: StateWriter): void {
    for (const [name, part] of this.#parts) to.part(name, part);
  }

  #loadParts(from: StateReader): void {
    for (const [name, part] of this.#parts) from.part(name, part);
  }

  #attachPorts(
    name: string,
    device: ByteDevice,
    ...ranges: readonly (readonly [first: number, count: number])[]
  ) {
    const onBus = eightBit(device);
    for (const [first, count] of ranges) this.ports.attach(name, first, count, onBus);
  }

  get #currentApic(): LocalApic {
    return this.apics[this.#environment.currentCpu()]!;
  }

  #wireChanged(wire: number, asserted: boolean): void {
    this.#ioapic.setLine(wire === 0 ? TIMER_GSI : wire, asserted);
    const irq = wire < ISA_WIRES ? wire : pciIsaIrq(wire);
    this.#pic.setLine(
      irq,
      PIC_WIRES[irq]!.some((each) => this.#wires.asserted(each)),
    );
  }

  /**
   * Does what firmware does after power-on or reset beside {@link loadPc}: sets the interrupt controllers up in virtual wire mode
   * (Intel MultiProcessor Specification, 3.6.2.2): the 8259As, masked but for their cascade,
   * with the vectors that a BIOS gives them, reach the bootstrap processor through its local APIC.
   */
  start(): void {
    const write = (port: number, ...bytes: readonly number[]): void => {
      for (const byte of bytes) this.#pic.writeByte(port, byte);
    };
    write(0x20, 0x11);
    write(0x21, 0x08, 0x04, 0x01, 0xfb);
    write(0xa0, 0x11);
    write(0xa1, 0x70, 0x02, 0x01, 0xff);
    write(
      0x4d1,
      [SCI_IRQ, pciIsaIrq(16), pciIsaIrq(17)].reduce((bits, irq) => bits | (1 << (irq - 8)), 0),
    );
    const bootstrap = this.apics[0]!;
    bootstrap.writeRegister(REGISTER.spurious, 0x1ff);
    bootstrap.writeRegister(REGISTER.lvtLint0, 0x700); // ExtINT
    bootstrap.writeRegister(REGISTER.lvtLint1, 0x400); // NMI
  }
}

function isKvm(index: number): boolean {
  return index >= KVM_MSR.wallClock && index <= KVM_MSR.wallClock + 0xff;
}
