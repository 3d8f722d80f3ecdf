/** The simplest device model: it gives every buffer back with the readable bytes copied into the writable ones. */
import type { AccessSize } from '../../platform/bus.ts';
import { writeLittleEndian } from '../../platform/pci/registers.ts';
import type { StateReader, StateWriter } from '../../state/state.ts';
import { type DeviceModel, VirtioDevice, type VirtioEnvironment } from '../device.ts';

/** A device of the unassigned type 63 with two queues and eight bytes of configuration. */
export class Echo implements DeviceModel {
  readonly type = 63;
  readonly name = 'echo';
  readonly features = [0, 5];
  readonly queueSizes = [8, 16];
  readonly config = new Uint8Array(8);
  readonly device: VirtioDevice;
  /** Queues served, queues reset (as −1 − queue) and device resets (as 'reset'), in order. */
  readonly log: (number | 'reset')[] = [];
  readonly #scratch = new Uint8Array(256);

  constructor(environment: VirtioEnvironment) {
    this.device = new VirtioDevice(this, environment);
  }

  /** Feature 5 requires feature 0. */
  acceptable(accepted: (feature: number) => boolean): boolean {
    return accepted(0) || !accepted(5);
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    writeLittleEndian(this.config, offset, size, value);
  }

  process(index: number): void {
    this.log.push(index);
    const queue = this.device.queues[index]!;
    for (let chain = queue.take(); chain !== undefined; chain = queue.take()) {
      const count = chain.read(0, this.#scratch);
      queue.complete(chain.head, chain.write(0, this.#scratch.subarray(0, count)));
    }
  }

  queueReset(index: number): void {
    this.log.push(-1 - index);
  }

  reset(): void {
    this.config.fill(0);
    this.log.push('reset');
  }

  saveState(to: StateWriter): void {
    to.bytes(this.config);
  }

  loadState(from: StateReader): void {
    this.config.set(from.bytes());
  }
}
