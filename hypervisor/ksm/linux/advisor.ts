/**
 * The scan-time advisor (Linux 6.8): after each full scan it sets `pages_to_scan` so that a full scan takes
 * about `advisor_target_scan_time`, within bounds of CPU use. All divisions are of whole numbers.
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';

/** The advisor's knobs. */
export interface AdvisorKnobs {
  /** Most CPU that ksmd is to use, in percent. */
  maxCpu: number;
  minPages: number;
  maxPages: number;
  /** In seconds. */
  targetTime: number;
}

const nsPerMs = 1e6;
const msPerSecond = 1000;
/** Least CPU that ksmd is to use, in percent. */
const minCpu = 10;
/** Weight of the newest value in the moving average, in percent. */
const newest = 30;

const atLeastOne = (value: number) => Math.max(1, Math.floor(value));

/** See the top of this file. */
export class Advisor implements Stateful {
  /** Start of the full scan, in ns of virtual time. */
  #start = 0;
  /** What the last full scan took, in seconds; 0 before the first. */
  #scanTime = 0;
  /** Moving average of how scan times change, in percent. */
  #change = 0;
  /** CPU time of ksmd at the end of the last full scan, in ns. */
  #cpuTime = 0;

  /** Begins anew, as when the advisor is switched on. */
  reset(): void {
    this.#start = 0;
    this.#scanTime = 0;
    this.#change = 0;
    this.#cpuTime = 0;
  }

  /** A full scan begins. */
  start(now: number): void {
    this.#start = now;
  }

  /** A full scan has ended; gives the new `pages_to_scan`. */
  stop(now: number, cpuTime: number, pagesToScan: number, knobs: AdvisorKnobs): number {
    const scanTime = atLeastOne((now - this.#start) / nsPerMs / msPerSecond);
    const cpuMs = Math.floor((cpuTime - this.#cpuTime) / nsPerMs);
    const cpuPercent = atLeastOne((cpuMs * 100) / (scanTime * msPerSecond));
    const lastScanTime = this.#scanTime === 0 ? scanTime : this.#scanTime;
    const factor = atLeastOne((knobs.targetTime * 100) / scanTime);
    const change = atLeastOne((scanTime * 100) / lastScanTime);
    this.#change = Math.floor(((100 - newest) * this.#change + newest * change) / 100);
    this.#scanTime = scanTime;
    this.#cpuTime = cpuTime;
    const wanted = Math.floor((Math.floor((pagesToScan * 100) / factor) * this.#change) / 100);
    const pagesPerPercent = atLeastOne(pagesToScan / cpuPercent);
    const bounded = Math.max(Math.min(wanted, pagesPerPercent * knobs.maxCpu), pagesPerPercent * minCpu);
    return Math.min(bounded, knobs.maxPages);
  }

  saveState(to: StateWriter): void {
    for (const value of [this.#start, this.#scanTime, this.#change, this.#cpuTime]) to.number(value);
  }

  loadState(from: StateReader): void {
    this.#start = from.number();
    this.#scanTime = from.number();
    this.#change = from.number();
    this.#cpuTime = from.number();
  }
}
