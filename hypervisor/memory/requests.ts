/**
 * The faults of a guest's vCPUs that the host must serve between rounds. They stand in memory, where the guest's thread writes them down and the
 * host's reads them.
 */
import { type FaultCause, faultCauses } from './faults.ts';

/** A vCPU's fault that the host must serve between rounds. */
export interface FaultRequest {
  readonly cpu: number;
  readonly page: number;
  readonly write: boolean;
  readonly cause: FaultCause;
  /** When the vCPU stopped, in virtual ns. */
  readonly time: number;
}

/** A vCPU waits for one fault at a time, and a guest has 64 at most. */
const most = 64;
/** Numbers of a request. */
const numbers = 5;

/** Bytes of a guest's requests. */
export const requestBytes = 8 * (1 + numbers * most);

/** See the top of this file. */
export class FaultRequests {
  /** How many there are, and these. */
  readonly #values: Float64Array;

  /** @param values {@link requestBytes} of memory */
  constructor(values: Float64Array) {
    this.#values = values;
  }

  /** How many there are. */
  get length(): number {
    return this.#values[0]!;
  }

  /** Adds a request. */
  push({ cpu, page, write, cause, time }: FaultRequest): void {
    const at = 1 + this.length * numbers;
    this.#values[0]!++;
    this.#values.set([cpu, page, write ? 1 : 0, faultCauses.indexOf(cause), time], at);
  }

  /** All of them, in the order in which they came; none is left. */
  take(): FaultRequest[] {
    const taken = Array.from({ length: this.length }, (_, index) => {
      const at = 1 + index * numbers;
      const [cpu, page, write, cause, time] = this.#values.subarray(at, at + numbers);
      return { cpu: cpu!, page: page!, write: write !== 0, cause: faultCauses[cause!]!, time: time! };
    });
    this.#values[0] = 0;
    return taken;
  }
}
