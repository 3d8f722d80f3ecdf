/** The entropy device (Virtual I/O Device 1.3, section 5.4). Its bytes come from a seeded generator, so a run can be repeated. */
import type { Stateful, StateReader, StateWriter } from '../state/state.ts';
import { loadCounters, saveCounters } from './counters.ts';
import { type DeviceModel, VirtioDevice, type VirtioEnvironment } from './device.ts';
import { DriverError } from './error.ts';

const QUEUE_SIZE = 8;

/** The most bytes that one buffer is given; the device may give fewer than there is room for (section 5.4.6.2). */
const MOST_BYTES = 4096;

/** A stream of random bytes whose place in it can be saved. */
export interface RandomSource extends Stateful {
  fill(target: Uint8Array): void;
}

/** A virtio entropy device. */
export class VirtioRng implements DeviceModel {
  readonly type = 4;
  readonly name: string;
  readonly features = [];
  readonly queueSizes = [QUEUE_SIZE];
  readonly config = new Uint8Array(0);
  readonly device: VirtioDevice;
  /** Requests answered, and bytes given. */
  readonly counters = { requests: 0, bytes: 0 };
  readonly #source: RandomSource;
  readonly #bytes = new Uint8Array(MOST_BYTES);

  /**
   * @param name unique within the machine
   * @param source the guest's own; its state is saved with the device
   */
  constructor(environment: VirtioEnvironment, name: string, source: RandomSource) {
    this.name = name;
    this.#source = source;
    this.device = new VirtioDevice(this, environment);
  }

  process(): void {
    const queue = this.device.queues[0]!;
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      if (chain.readableCount > 0 || chain.writableBytes === 0) {
        throw new DriverError('an entropy buffer must be writable only');
      }
      const bytes = this.#bytes.subarray(0, Math.min(chain.writableBytes, MOST_BYTES));
      this.#source.fill(bytes);
      queue.complete(chain.head, chain.write(0, bytes));
      this.counters.requests++;
      this.counters.bytes += bytes.length;
    }
  }

  /** Nothing to forget: the stream goes on. */
  reset(): void {}

  saveState(to: StateWriter): void {
    saveCounters(to, this.counters);
    to.part('source', this.#source);
  }

  loadState(from: StateReader): void {
    loadCounters(from, this.counters);
    from.part('source', this.#source);
  }
}
