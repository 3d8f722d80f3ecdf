/**
 * A virtio driver for tests. It finds its device by PCI configuration space, negotiates and sets up queues
 * through the registers alone, and builds rings in guest memory: the other side of everything in this folder.
 */
import { createHash } from 'node:crypto';
import { TimerQueue } from '../../clock/timers.ts';
import type { AccessSize } from '../../platform/bus.ts';
import { TestPc } from '../../platform/pci/testing/pc.ts';
import { StateReader, StateWriter } from '../../state/state.ts';
import {
  ACKNOWLEDGE,
  DRIVER,
  DRIVER_OK,
  F_VERSION_1,
  FEATURES_OK,
  type VirtioEnvironment,
} from '../device.ts';
import type { VirtioPci } from '../pci.ts';
import { TestMemory } from './memory.ts';

/** Slot of the device under test. */
const SLOT = 4;

/** Kick delay of test machines, in ns. */
export const KICK_DELAY = 1000;

/** A digest of a saved state, to compare large ones by. */
export function digest(state: Uint8Array): string {
  return createHash('sha256').update(state).digest('hex');
}

/** A PC with memory, time and one virtio device. */
export class TestMachine {
  readonly pc = new TestPc();
  readonly memory: TestMemory;
  readonly timers = new TimerQueue();
  readonly environment: VirtioEnvironment;
  time = 0;
  #plugged: VirtioPci | undefined;

  constructor(memoryBytes = 1 << 20) {
    this.memory = new TestMemory(memoryBytes);
    this.environment = {
      clock: { now: () => this.time },
      timers: this.timers,
      memory: this.memory,
      kickDelay: KICK_DELAY,
    };
  }

  /** Plugs the device in and gives its driver. */
  plug(device: VirtioPci): TestDriver {
    this.#plugged = device;
    this.pc.bus.plug(SLOT, device.pciFunction);
    return new TestDriver(this, device);
  }

  /** Lets `ns` pass, with all events in it. */
  advance(ns: number): void {
    const end = this.time + ns;
    while (this.timers.next <= end) {
      this.time = Math.max(this.time, this.timers.next);
      this.timers.run(this.time);
    }
    this.time = end;
  }

  /** The whole state, guest memory too. */
  save(): Uint8Array {
    const to = new StateWriter();
    to.bytes(this.memory.bytes);
    to.number(this.time);
    to.part('timers', this.timers);
    to.part('pci', this.pc.bus);
    to.part('device', this.#plugged!);
    return to.finish();
  }

  /** Takes up what {@link save} of an equal machine gave. */
  load(state: Uint8Array): void {
    const from = new StateReader(state);
    this.memory.bytes.set(from.bytes());
    this.time = from.number();
    from.part('timers', this.timers);
    from.part('pci', this.pc.bus);
    from.part('device', this.#plugged!);
  }
}

/** A structure that a vendor capability tells of. */
interface Structure {
  readonly address: number;
  readonly length: number;
}

/** A driver of the machine's device. */
export class TestDriver {
  readonly machine: TestMachine;
  readonly device: VirtioPci;
  readonly common: Structure;
  readonly notify: Structure;
  readonly isr: Structure;
  readonly config: Structure | undefined;
  /** Where configuration space has the window to BAR 0, and the MSI-X capability. */
  readonly window: number;
  readonly msix: number;

  constructor(machine: TestMachine, device: VirtioPci) {
    this.machine = machine;
    this.device = device;
    const at = new Map<number, number>();
    for (const capability of machine.pc.capabilities(SLOT, 9))
      at.set(this.readPci(capability + 3, 1), capability);
    const structure = (type: number): Structure | undefined => {
      const capability = at.get(type);
      if (capability === undefined) return undefined;
      const bar = machine.pc.bar(SLOT, this.readPci(capability + 4, 1));
      return { address: bar + this.readPci(capability + 8, 4), length: this.readPci(capability + 12, 4) };
    };
    this.common = structure(1)!;
    this.notify = structure(2)!;
    this.isr = structure(3)!;
    this.config = structure(4);
    this.window = at.get(5)!;
    this.msix = machine.pc.capabilities(SLOT, 0x11)[0]!;
    this.writePci(4, 2, 6);
  }

  readPci(offset: number, size: AccessSize): number {
    return this.machine.pc.readConfig(SLOT, offset, size);
  }

  writePci(offset: number, size: AccessSize, value: number): void {
    this.machine.pc.writeConfig(SLOT, offset, size, value);
  }

  readCommon(offset: number, size: AccessSize): number {
    return this.machine.pc.mmio.read(this.common.address + offset, size);
  }

  writeCommon(offset: number, size: AccessSize, value: number): void {
    this.machine.pc.mmio.write(this.common.address + offset, size, value);
  }

  readConfig(offset: number, size: AccessSize): number {
    return this.machine.pc.mmio.read(this.config!.address + offset, size);
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    this.machine.pc.mmio.write(this.config!.address + offset, size, value);
  }

  get status(): number {
    return this.readCommon(0x14, 1);
  }

  set status(value: number) {
    this.writeCommon(0x14, 1, value);
  }

  /** Feature bits that the device offers. */
  offered(): number[] {
    const bits: number[] = [];
    for (let word = 0; word < 3; word++) {
      this.writeCommon(0x00, 4, word);
      const value = this.readCommon(0x04, 4);
      for (let bit = 0; bit < 32; bit++) if ((value >>> bit) & 1) bits.push(32 * word + bit);
    }
    return bits;
  }

  /** Resets, then negotiates the given features and VERSION_1. Gives whether the device took them. */
  negotiate(features: readonly number[]): boolean {
    this.status = 0;
    this.status = ACKNOWLEDGE;
    this.status = ACKNOWLEDGE | DRIVER;
    const words = [0, 0];
    for (const bit of [...features, F_VERSION_1]) words[bit >> 5]! |= 1 << (bit & 31);
    words.forEach((value, word) => {
      this.writeCommon(0x08, 4, word);
      this.writeCommon(0x0c, 4, value >>> 0);
    });
    this.status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    return (this.status & FEATURES_OK) !== 0;
  }

  /** Enables MSI-X with vector n sending data 0x40 + n, and maps vector 0 to configuration changes. */
  enableMsix(): void {
    const table = this.machine.pc.bar(SLOT, this.readPci(this.msix + 4, 4) & 7);
    const vectors = (this.readPci(this.msix + 2, 2) & 0x7ff) + 1;
    for (let vector = 0; vector < vectors; vector++) {
      this.machine.pc.mmio.write(table + 16 * vector, 4, 0xfee00000);
      this.machine.pc.mmio.write(table + 16 * vector + 8, 4, 0x40 + vector);
      this.machine.pc.mmio.write(table + 16 * vector + 12, 4, 0);
    }
    this.writePci(this.msix + 2, 2, 0x8000);
    this.writeCommon(0x10, 2, 0);
  }

  /** Gives queue `index` rings in memory and enables it, with vector `index` + 1. */
  queue(index: number, size?: number): TestQueue {
    this.writeCommon(0x16, 2, index);
    const entries = size ?? this.readCommon(0x18, 2);
    this.writeCommon(0x18, 2, entries);
    this.writeCommon(0x1a, 2, index + 1);
    const queue = new TestQueue(this, index, entries);
    [queue.descriptors, queue.avail, queue.used].forEach((address, area) => {
      this.writeCommon(0x20 + 8 * area, 4, address);
      this.writeCommon(0x24 + 8 * area, 4, 0);
    });
    this.writeCommon(0x1c, 2, 1);
    return queue;
  }

  /** Negotiates, enables MSI-X and all queues, and sets DRIVER_OK. */
  start(features: readonly number[], queueCount: number): TestQueue[] {
    if (!this.negotiate(features)) throw new Error('the device refused the features');
    this.enableMsix();
    const queues = Array.from({ length: queueCount }, (_, i) => this.queue(i));
    this.status |= DRIVER_OK;
    this.machine.advance(KICK_DELAY);
    return queues;
  }

  /** Data of the messages that arrived since the last call: 0x40 for the configuration, 0x41 + n for queue n. */
  takeMessages(): number[] {
    return this.machine.pc.messages.splice(0).map(({ data }) => data);
  }
}

/** One element of a buffer: bytes for the device to read, or a length for it to write. */
export type Element = Uint8Array | number;

/** A used buffer: what the device wrote, element by element as far as `length` goes. */
export interface UsedBuffer {
  readonly head: number;
  readonly length: number;
  readonly data: Uint8Array;
}

interface Placed {
  readonly address: number;
  readonly length: number;
  readonly writable: boolean;
}

/** A split virtqueue, the driver's side. */
export class TestQueue {
  readonly index: number;
  readonly size: number;
  readonly descriptors: number;
  readonly avail: number;
  readonly used: number;
  readonly #driver: TestDriver;
  readonly #memory: TestMemory;
  readonly #free: number[];
  readonly #buffers = new Map<number, { placed: Placed[]; descriptors: number[] }>();
  #nextAvail = 0;
  #nextUsed = 0;

  constructor(driver: TestDriver, index: number, size: number) {
    this.#driver = driver;
    this.#memory = driver.machine.memory;
    this.index = index;
    this.size = size;
    this.descriptors = this.#memory.allocate(16 * size);
    this.avail = this.#memory.allocate(6 + 2 * size);
    this.used = this.#memory.allocate(6 + 8 * size);
    this.#free = Array.from({ length: size }, (_, i) => i);
  }

  /** Writes one descriptor at `address`; what is in it is not checked. */
  describe(address: number, target: number, length: number, flags: number, next: number): void {
    this.#memory.writeU32(address, target % 2 ** 32);
    this.#memory.writeU32(address + 4, Math.floor(target / 2 ** 32));
    this.#memory.writeU32(address + 8, length);
    this.#memory.writeU16(address + 12, flags);
    this.#memory.writeU16(address + 14, next);
  }

  /** Makes descriptor `head` available, whatever it holds. */
  offer(head: number): void {
    this.#memory.writeU16(this.avail + 4 + 2 * (this.#nextAvail % this.size), head);
    this.#nextAvail = (this.#nextAvail + 1) & 0xffff;
    this.#memory.writeU16(this.avail + 2, this.#nextAvail);
  }

  /** How many descriptors are free. */
  get room(): number {
    return this.#free.length;
  }

  #place(elements: readonly Element[]): Placed[] {
    return elements.map((element) => {
      const length = typeof element === 'number' ? element : element.length;
      const address = this.#memory.allocate(length);
      if (typeof element !== 'number') this.#memory.write(address, element);
      return { address, length, writable: typeof element === 'number' };
    });
  }

  /** Adds a buffer of the given elements in newly allocated memory, without notifying the device. Gives its head. */
  add(elements: readonly Element[]): number {
    return this.addPlaced(this.#place(elements));
  }

  /** Adds a buffer of elements that lie in memory already. */
  addPlaced(placed: Placed[]): number {
    const indices = placed.map(() => this.#free.shift()!);
    placed.forEach(({ address, length, writable }, i) => {
      const next = indices[i + 1];
      const flags = (next === undefined ? 0 : 1) | (writable ? 2 : 0);
      this.describe(this.descriptors + 16 * indices[i]!, address, length, flags, next ?? 0);
    });
    this.#buffers.set(indices[0]!, { placed, descriptors: indices });
    this.offer(indices[0]!);
    return indices[0]!;
  }

  /** Adds a buffer through an indirect table. */
  addIndirect(elements: readonly Element[]): number {
    const placed = this.#place(elements);
    const table = this.#memory.allocate(16 * placed.length);
    placed.forEach(({ address, length, writable }, i) => {
      const flags = (i + 1 < placed.length ? 1 : 0) | (writable ? 2 : 0);
      this.describe(table + 16 * i, address, length, flags, i + 1);
    });
    const head = this.#free.shift()!;
    this.describe(this.descriptors + 16 * head, table, 16 * placed.length, 4, 0);
    this.#buffers.set(head, { placed, descriptors: [head] });
    this.offer(head);
    return head;
  }

  /** Notifies the device. */
  kick(): void {
    this.#driver.machine.pc.mmio.write(this.#driver.notify.address + 4 * this.index, 2, this.index);
  }

  /** Adds a buffer, notifies, lets the kick delay pass and takes the used buffers. */
  exchange(elements: readonly Element[]): UsedBuffer[] {
    this.add(elements);
    this.kick();
    this.#driver.machine.advance(KICK_DELAY);
    return this.takeUsed();
  }

  /** Takes the buffers that the device has used since the last call. */
  takeUsed(): UsedBuffer[] {
    const taken: UsedBuffer[] = [];
    while (this.#memory.readU16(this.used + 2) !== this.#nextUsed) {
      const entry = this.used + 4 + 8 * (this.#nextUsed % this.size);
      const head = this.#memory.readU32(entry);
      const length = this.#memory.readU32(entry + 4);
      const { placed, descriptors } = this.#buffers.get(head)!;
      const writable = placed.filter((each) => each.writable);
      const data = new Uint8Array(writable.reduce((sum, each) => sum + each.length, 0));
      let at = 0;
      for (const each of writable) {
        data.set(this.#memory.at(each.address, each.length), at);
        at += each.length;
      }
      taken.push({ head, length, data: data.subarray(0, length) });
      this.#buffers.delete(head);
      this.#free.push(...descriptors);
      this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    }
    return taken;
  }
}
