/**
 * The block device (Virtual I/O Device 1.3, section 5.2) with one request queue. Requests are carried out, and
 * completed, a fixed latency after the device took them.
 */
import type { Timer } from '../../clock/timers.ts';
import type { StateReader, StateWriter } from '../../state/state.ts';
import type { DescriptorChain } from '../chain.ts';
import { loadCounters, saveCounters } from '../counters.ts';
import { type DeviceModel, VirtioDevice, type VirtioEnvironment } from '../device.ts';
import { DriverError } from '../error.ts';
import { type BlockBackend, SECTOR_BYTES } from './backend.ts';

/** Feature bits. */
export const F_SIZE_MAX = 1;
export const F_SEG_MAX = 2;
export const F_RO = 5;
export const F_BLK_SIZE = 6;
export const F_FLUSH = 9;
export const F_DISCARD = 13;
export const F_WRITE_ZEROES = 14;

/** Request types. */
const T_IN = 0;
const T_OUT = 1;
const T_FLUSH = 4;
const T_GET_ID = 8;
const T_DISCARD = 11;
const T_WRITE_ZEROES = 13;

/** Status of a request. */
const S_OK = 0;
const S_IOERR = 1;
const S_UNSUPP = 2;

const QUEUE_SIZE = 128;

/** Data segments of a request: what a chain holds beside header and status. With their size they bound a request. */
const SEG_MAX = QUEUE_SIZE - 2;
const SIZE_MAX = 65536;
const LONGEST_DATA = SEG_MAX * SIZE_MAX;

/** Bounds of discards and write zeroes: segments in a request and sectors in a segment. */
const RANGE_SEGMENTS = 16;
const RANGE_SECTORS = 32768;

/** A segment of these: le64 sector, le32 number of sectors, le32 flags; unmap is bit 0 of the flags. */
const RANGE_BYTES = 16;
const UNMAP = 1;

/** Request header: le32 type, le32 reserved, le64 sector. */
const HEADER_BYTES = 16;

const ID_BYTES = 20;
const COPY_BYTES = 65536;

/** Configuration space (section 5.2.4) up to write_zeroes_may_unmap and its padding. */
const CONFIG_BYTES = 60;

/** What a block device is made of. */
export interface BlockOptions {
  /** Unique within the machine. */
  readonly name: string;
  readonly backend: BlockBackend;
  /** Serial number: at most 20 ASCII characters. */
  readonly serial: string;
  /** Virtual ns from taking a request to its completion; 0 completes it at the same virtual time. */
  readonly latency: number;
}

interface Request {
  /** First descriptor of the request's chain. */
  readonly head: number;
  /** When it is done, in virtual ns. */
  readonly due: number;
}

/** A virtio block device. */
export class VirtioBlock implements DeviceModel {
  readonly type = 2;
  readonly name: string;
  readonly features: readonly number[];
  readonly queueSizes = [QUEUE_SIZE];
  readonly config = new Uint8Array(CONFIG_BYTES);
  readonly device: VirtioDevice;
  /** Requests of each kind, sectors that they moved, and requests that did not end well. */
  readonly counters = {
    reads: 0,
    writes: 0,
    flushes: 0,
    discards: 0,
    writeZeroes: 0,
    sectorsRead: 0,
    sectorsWritten: 0,
    errors: 0,
  };
  readonly #backend: BlockBackend;
  readonly #id = new Uint8Array(ID_BYTES);
  readonly #latency: number;
  readonly #timer: Timer;
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  readonly #status = new Uint8Array(1);
  readonly #copy = new Uint8Array(COPY_BYTES);
  /** Requests taken and not yet done, in order of their due time. */
  #inFlight: Request[] = [];

  constructor(environment: VirtioEnvironment, { name, backend, serial, latency }: BlockOptions) {
    this.name = name;
    this.#backend = backend;
    this.#latency = latency;
    if (!/^[\x20-\x7e]{0,20}$/.test(serial)) {
      throw new Error(`${name}: serial '${serial}' is not at most 20 printable ASCII characters`);
    }
    this.#id.set(new TextEncoder().encode(serial));
    const both = [F_SIZE_MAX, F_SEG_MAX, F_BLK_SIZE, F_FLUSH];
    this.features = backend.readOnly ? [...both, F_RO] : [...both, F_DISCARD, F_WRITE_ZEROES];
    this.#writeConfig();
    this.device = new VirtioDevice(this, environment);
    this.#timer = environment.timers.timer(`${name} completion`, (now) => this.device.serve(0, now));
  }

  #writeConfig(): void {
    const view = new DataView(this.config.buffer);
    view.setBigUint64(0, BigInt(this.#backend.sectors), true);
    view.setUint32(8, SIZE_MAX, true);
    view.setUint32(12, SEG_MAX, true);
    view.setUint32(20, SECTOR_BYTES, true);
    if (this.#backend.readOnly) return;
    view.setUint32(36, RANGE_SECTORS, true);
    view.setUint32(40, RANGE_SEGMENTS, true);
    view.setUint32(44, 1, true);
    view.setUint32(48, RANGE_SECTORS, true);
    view.setUint32(52, RANGE_SEGMENTS, true);
    view.setUint8(56, 1);
  }

  /** Carries out what is due, then takes what is new. */
  process(_queue: number, now: number): void {
    this.#finishDue(now);
    const queue = this.device.queues[0]!;
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      if (chain.readableBytes < HEADER_BYTES || chain.writableBytes < 1) {
        throw new DriverError('a request needs a header of 16 readable bytes and a writable status byte');
      }
      this.#startRequest({ head: chain.head, due: now + this.#latency });
    }
    const next = this.#inFlight[0];
    if (next !== undefined) this.#timer.arm(next.due);
  }

  #startRequest(request: Request): void {
    if (this.#inFlight.length === QUEUE_SIZE)
      throw new DriverError('more requests are in flight than the queue holds');
    this.#inFlight.push(request);
  }

  #finishDue(now: number): void {
    const queue = this.device.queues[0]!;
    let done = 0;
    while (done < this.#inFlight.length && this.#inFlight[done]!.due <= now) {
      const chain = queue.chain(this.#inFlight[done]!.head);
      // It was prepared when it was taken, but that was some time ago.
      if (!chain.prepare()) break;
      this.#carryOut(chain);
      done++;
    }
    this.#inFlight.splice(0, done);
  }

  /** Carries a request out and gives it back. The status is the last byte that the device may write. */
  #carryOut(chain: DescriptorChain): void {
    const room = chain.writableBytes - 1;
    chain.read(0, this.#header);
    const type = this.#headerView.getUint32(0, true);
    const sector = this.#headerView.getUint32(8, true) + this.#headerView.getUint32(12, true) * 2 ** 32;
    let written = 0;
    let status: number;
    if (type === T_IN) {
      status = this.#read(chain, sector, room);
      if (status === S_OK) written = room;
    } else if (type === T_GET_ID) {
      written = chain.write(0, this.#id.subarray(0, room));
      status = S_OK;
    } else {
      status = this.#withoutReply(type, chain, sector);
    }
    if (status !== S_OK) this.counters.errors++;
    this.#status[0] = status;
    chain.write(room, this.#status);
    // Bytes count from the first writable one without a gap, so the status does only when it follows the data.
    this.device.queues[0]!.complete(chain.head, written === room ? room + 1 : written);
  }

  #withoutReply(type: number, chain: DescriptorChain, sector: number): number {
    switch (type) {
      case T_OUT:
        return this.#write(chain, sector);
      case T_FLUSH:
        this.#backend.flush();
        this.counters.flushes++;
        return S_OK;
      case T_DISCARD:
      case T_WRITE_ZEROES:
        return this.#zeroRanges(chain, type);
      default:
        return S_UNSUPP;
    }
  }

  /** True when `bytes` bytes from `sector` on are whole sectors of the disk, and no more than a request may hold. */
  #fits(sector: number, bytes: number): boolean {
    const { sectors } = this.#backend;
    return bytes % SECTOR_BYTES === 0 && bytes <= LONGEST_DATA && sector + bytes / SECTOR_BYTES <= sectors;
  }

  #read(chain: DescriptorChain, sector: number, length: number): number {
    if (!this.#fits(sector, length)) return S_IOERR;
    for (let at = 0; at < length; at += COPY_BYTES) {
      const part = this.#copy.subarray(0, Math.min(COPY_BYTES, length - at));
      this.#backend.read(sector + at / SECTOR_BYTES, part);
      chain.write(at, part);
    }
    this.counters.reads++;
    this.counters.sectorsRead += length / SECTOR_BYTES;
    return S_OK;
  }

  #write(chain: DescriptorChain, sector: number): number {
    const length = chain.readableBytes - HEADER_BYTES;
    if (this.#backend.readOnly || !this.#fits(sector, length)) return S_IOERR;
    for (let at = 0; at < length; at += COPY_BYTES) {
      const part = this.#copy.subarray(0, Math.min(COPY_BYTES, length - at));
      chain.read(HEADER_BYTES + at, part);
      this.#backend.write(sector + at / SECTOR_BYTES, part);
    }
    this.counters.writes++;
    this.counters.sectorsWritten += length / SECTOR_BYTES;
    return S_OK;
  }

  /** Discards and zeroes alike make sectors read as zeros, so that what a guest reads never depends on chance. */
  #zeroRanges(chain: DescriptorChain, type: number): number {
    const length = chain.readableBytes - HEADER_BYTES;
    if (this.#backend.readOnly || length % RANGE_BYTES !== 0 || length > RANGE_SEGMENTS * RANGE_BYTES) {
      return S_IOERR;
    }
    const view = new DataView(this.#copy.buffer);
    chain.read(HEADER_BYTES, this.#copy.subarray(0, length));
    const allowedFlags = type === T_DISCARD ? 0 : UNMAP;
    for (let at = 0; at < length; at += RANGE_BYTES) {
      if ((view.getUint32(at + 12, true) & ~allowedFlags) !== 0) return S_UNSUPP;
    }
    for (let at = 0; at < length; at += RANGE_BYTES) {
      const sector = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
      const count = view.getUint32(at + 8, true);
      if (count > RANGE_SECTORS || sector + count > this.#backend.sectors) return S_IOERR;
      this.#backend.zero(sector, count);
    }
    if (type === T_DISCARD) this.counters.discards++;
    else this.counters.writeZeroes++;
    return S_OK;
  }

  queueReset(): void {
    this.reset();
  }

  /** Forgets the requests that are not done. */
  reset(): void {
    this.#inFlight = [];
    this.#timer.disarm();
  }

  saveState(to: StateWriter): void {
    to.list(this.#inFlight, ({ head, due }) => {
      to.u16(head);
      to.number(due);
    });
    saveCounters(to, this.counters);
    to.part('disk', this.#backend);
  }

  loadState(from: StateReader): void {
    this.#inFlight = from.list(() => ({ head: from.u16(), due: from.number() }));
    loadCounters(from, this.counters);
    from.part('disk', this.#backend);
  }
}
