/**
 * Profiles of storage devices, for swap and for the guests' disks: how long a request takes when the device is idle, how many it
 * serves at once, and how many bytes pass in a second.
 */

/** What a storage device can do. */
export interface StorageProfile {
  /** Virtual ns from request to completion of a random read of 4 KiB on an idle device. */
  readonly readLatency: number;
  /** The same for a write: a device with a write-back cache acknowledges sooner than it reads. */
  readonly writeLatency: number;
  /** Requests that the device serves at once; the others wait. */
  readonly queueDepth: number;
  /** Bytes that pass in a second at most, reads and writes together. */
  readonly bandwidth: number;
}

/**
 * The profiles by name. Latencies: NVMe (TLC) and SATA SSD at queue depth 1 as commonly stated (90 µs; 150 µs for 4 KiB), hard
 * disk 8 ms (7.15 ms a page in Difference Engine, 10 ms in latency tables). What a device serves at once and its
 * bandwidth are estimates: 64 × 4 KiB / 90 µs is what a 700 k IOPS drive gives, 32 tags and 550 MB/s are SATA's, a disk has one arm.
 */
export const STORAGE_PROFILES = {
  nvme: { readLatency: 90_000, writeLatency: 20_000, queueDepth: 64, bandwidth: 3_000_000_000 },
  sata: { readLatency: 150_000, writeLatency: 60_000, queueDepth: 32, bandwidth: 550_000_000 },
  hdd: { readLatency: 8_000_000, writeLatency: 8_000_000, queueDepth: 1, bandwidth: 200_000_000 },
} as const satisfies Record<string, StorageProfile>;

/** The name of a profile. */
export type StorageProfileName = keyof typeof STORAGE_PROFILES;
