/**
 * Memory statistics of a guest (Virtual I/O Device 1.3, sections 5.5.6.3 and 5.5.6.4). The driver parks a
 * buffer of them with the device; the device uses the buffer when it wants fresh ones, and gets it back filled.
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import type { DescriptorChain } from '../chain.ts';
import { DriverError } from '../error.ts';

/**
 * Names of the statistics by tag. The specification has 0 to 9; Linux's driver adds 10 to 15 from 6.12 on.
 * Units: bytes, except for faults, hugetlb, oom_kill, alloc_stall and the scans and reclaims, which count events
 * or pages since the guest booted.
 */
export const STAT_NAMES = [
  'swap_in',
  'swap_out',
  'major_faults',
  'minor_faults',
  'free_memory',
  'total_memory',
  'available_memory',
  'disk_caches',
  'hugetlb_allocations',
  'hugetlb_failures',
  'oom_kill',
  'alloc_stall',
  'async_scan',
  'direct_scan',
  'async_reclaim',
  'direct_reclaim',
] as const;

/** The name of a statistic. */
export type StatName = (typeof STAT_NAMES)[number];

/** What a guest last said of its memory. */
export interface BalloonStats {
  /** When it said so, in virtual ns. */
  readonly time: number;
  /** The statistics that the guest's driver supplies. */
  readonly values: Readonly<Partial<Record<StatName, number>>>;
}

/** An entry: le16 tag, le64 value, packed. */
const ENTRY_BYTES = 10;

/** A buffer with more entries than this is refused; drivers send 16 at most. */
const MOST_ENTRIES = 64;

/** No statistics have come yet, and no value was given. */
const NEVER = -1;
const ABSENT = -1;

/** The last statistics of a guest, and the buffer that it parked. */
export class StatsRecord implements Stateful {
  readonly #values = new Float64Array(STAT_NAMES.length).fill(ABSENT);
  readonly #entry = new Uint8Array(ENTRY_BYTES);
  readonly #view = new DataView(this.#entry.buffer);
  #time = NEVER;

  /** The last statistics; undefined before the first. */
  get latest(): BalloonStats | undefined {
    if (this.#time === NEVER) return undefined;
    const values: Partial<Record<StatName, number>> = {};
    STAT_NAMES.forEach((name, tag) => {
      if (this.#values[tag] !== ABSENT) values[name] = this.#values[tag]!;
    });
    return { time: this.#time, values };
  }

  /**
   * Reads the entries of a buffer at virtual time `now`; unknown tags are passed over, a value above 2^53 is
   * rounded to a double.
   * @throws DriverError when the buffer is no array of entries
   */
  read(chain: DescriptorChain, now: number): void {
    const length = chain.readableBytes;
    if (chain.writableBytes > 0 || length % ENTRY_BYTES !== 0 || length > MOST_ENTRIES * ENTRY_BYTES) {
      throw new DriverError(
        `a statistics buffer must be readable only and hold at most ${MOST_ENTRIES} entries of ${ENTRY_BYTES} bytes, not ${length} bytes`,
      );
    }
    this.#values.fill(ABSENT);
    for (let at = 0; at < length; at += ENTRY_BYTES) {
      chain.read(at, this.#entry);
      const tag = this.#view.getUint16(0, true);
      if (tag < this.#values.length) this.#values[tag] = Number(this.#view.getBigUint64(2, true));
    }
    this.#time = now;
  }

  saveState(to: StateWriter): void {
    for (const value of this.#values) to.number(value);
    to.number(this.#time);
  }

  loadState(from: StateReader): void {
    for (let tag = 0; tag < this.#values.length; tag++) this.#values[tag] = from.number();
    this.#time = from.number();
  }
}
