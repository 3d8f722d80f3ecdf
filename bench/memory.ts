/**
 * Cost of memory management, in time of the machine that simulates: `node bench/memory.ts`. One copy-on-write break of a merged page,
 * one page to swap, one page back from swap, with everything that belongs to it: rounds, books, checksums, and a real file.
 * Times differ from machine to machine and from hour to hour; the fill of a page beside them tells how fast this one is.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { costs } from '../hypervisor/clock/costs.ts';
import { STORAGE_PROFILES } from '../hypervisor/clock/storage.ts';
import { type AddressSpace, mustWait, satisfied } from '../hypervisor/memory/addressspace.ts';
import { HostMemory, pageSize } from '../hypervisor/memory/hostmemory.ts';
import { HostPages } from '../hypervisor/memory/hostpages.ts';
import { hashPage } from '../hypervisor/memory/pagehash.ts';
import { SwapDevice } from '../hypervisor/memory/swap/device.ts';
import { DiskFile } from '../hypervisor/memory/swap/file.ts';
import { Swap } from '../hypervisor/memory/swap/swap.ts';

const pageCount = 16_384;
const frameCount = pageCount + 4096;
const repeats = 3;
const round = 100_000;

const folder = mkdtempSync(join(tmpdir(), 'pagefold-bench-'));

/** One guest without a CPU, whose pages are accessed as a vCPU would. */
class Bench {
  readonly memory = new HostMemory(frameCount * pageSize, 64 << 20);
  readonly file = new DiskFile(join(folder, 'swap'));
  readonly pages: HostPages;
  readonly space: AddressSpace;
  #time = 0;

  constructor() {
    const device = new SwapDevice(STORAGE_PROFILES.nvme);
    const swap = new Swap(this.memory, 2 * pageCount, this.file, device, hashPage(this.memory));
    this.pages = new HostPages(
      this.memory,
      { costs: costs(), swap },
      {
        resume: () => {},
        stop: (_, reason) => {
          throw new Error(reason);
        },
        event: ({ reason }) => {
          throw new Error(reason);
        },
      },
    );
    this.space = this.pages.add([{ start: 0, length: pageCount * pageSize }], true);
  }

  #begin(): void {
    this.pages.beginRound([{ space: this.space, cpus: 1 }], this.#time);
  }

  #end(): void {
    this.#time += round;
    this.pages.endRound(this.#time);
    this.pages.serve(this.#time, this.#time + round);
  }

  /** Accesses all pages in their order. */
  access(write: boolean, then?: (page: number) => void): void {
    this.#begin();
    for (let page = 0; page < pageCount; page++) {
      while (!satisfied(this.space.slot(page), write)) {
        if (this.space.inRound && this.space.fault(0, page, write, this.#time) !== mustWait) continue;
        this.#end();
        this.#begin();
      }
      then?.(page);
    }
    this.#end();
  }

  /** Gives each page contents of its own. */
  fill(): void {
    this.access(true, (page) => {
      const frame = this.space.frameOf(page);
      this.memory.u32.fill(page + 1, frame >>> 2, (frame + pageSize) >>> 2);
    });
  }

  /** Merges all pages with the first, as if they were equal. */
  merge(): void {
    const { merging } = this.pages;
    const frame = merging.frameOf(this.space, 0);
    merging.share(this.space, 0, 1);
    for (let page = 1; page < pageCount; page++) merging.replace(this.space, page, frame);
  }

  /** Sends all pages to swap. */
  swapOut(): void {
    for (let again = 0; this.space.present > 0 && again < 16; again++) {
      this.pages.reclaimer.reclaim(this.space.present, Number.POSITIVE_INFINITY, this.#time, 'kswapd');
      this.#time += 1e9;
      this.pages.reclaimer.complete(this.#time);
    }
  }
}

/** The shortest time of one of `pageCount` in ns. */
const best = new Map<string, number>();
function time(name: string, work: () => void): void {
  const start = performance.now();
  work();
  const each = ((performance.now() - start) * 1e6) / pageCount;
  best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, each));
}

for (let i = 0; i < repeats; i++) {
  const bench = new Bench();
  time('first touch, and fill of a page', () => bench.fill());
  time('swap-out', () => bench.swapOut());
  time('swap-in', () => bench.access(false));
  bench.merge();
  time('copy-on-write break', () => bench.access(true));
  bench.pages.check();
  bench.file.close();
}
rmSync(folder, { recursive: true });
console.table([...best].map(([work, ns]) => ({ work, 'ns each': Math.round(ns) })));
