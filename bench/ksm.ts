/**
 * Speed of same-page merging: `node bench/ksm.ts`. The same pages are scanned here and, where
 * `/sys/kernel/mm/ksm/run` can be written, by the kernel's ksmd; both in pages a second of CPU time. Speeds differ from machine to machine and from hour to
 * hour; the ratio within a run is what can be compared.
 */
import { costs } from '../hypervisor/clock/costs.ts';
import { LinuxScanner } from '../hypervisor/ksm/linux/scanner.ts';
import { Kernel, KernelGuest, unusable, user } from '../hypervisor/ksm/testing/kernel.ts';
import { TestMemory } from '../hypervisor/ksm/testing/memory.ts';
import { pageSize } from '../hypervisor/memory/hostmemory.ts';

const guests = 2;
const pagesPerGuest = 24_000;
/** Of a guest's pages, those that are zero, and those that the other guests have too; the rest is its own. */
const zeroShare = 0.1;
const commonShare = 0.45;
/** Full scans after the first two, whose CPU time is added up. */
const steadyScans = 4;
/** Every page is visited in every scan, so that scans can be compared. */
const knobs = { smart_scan: 0, max_page_sharing: 256, use_zero_pages: 0 };

/** The pages of a guest: random words, which begin alike in one page of four, as pages of programs do. */
function contents(guest: number): Uint8Array {
  const words = new Uint32Array((pagesPerGuest * pageSize) / 4);
  const wordsPerPage = pageSize / 4;
  for (let page = 0; page < pagesPerGuest; page++) {
    if (page < zeroShare * pagesPerGuest) continue;
    const common = page < (zeroShare + commonShare) * pagesPerGuest;
    let state = (common ? page + 1 : (guest + 1) * 1_000_003 + page) | 0;
    const from = page % 4 === 0 ? wordsPerPage / 2 : 0;
    for (let word = from; word < wordsPerPage; word++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      words[page * wordsPerPage + word] = state;
    }
  }
  return new Uint8Array(words.buffer);
}

/** Nanoseconds of CPU time for each full scan, and the pages that were merged at the end. */
interface Result {
  readonly times: readonly number[];
  readonly sharing: number;
}

function ours(): Result {
  const memory = new TestMemory(guests * pagesPerGuest + 10);
  const scanner = new LinuxScanner('linux-6.18', { memory, costs: costs() });
  for (const [name, value] of Object.entries({ ...knobs, pages_to_scan: 1e6 }))
    scanner.knobs.set(name, value);
  for (let guest = 0; guest < guests; guest++) {
    const space = memory.addSpace(pagesPerGuest);
    const bytes = contents(guest);
    for (let page = 0; page < pagesPerGuest; page++) {
      memory.write(space, page, bytes.subarray(page * pageSize, (page + 1) * pageSize));
    }
  }
  scanner.knobs.set('run', 1);
  let now = 0;
  const times: number[] = [];
  for (let scan = 1; scan <= 2 + steadyScans; scan++) {
    const start = process.cpuUsage();
    // As the host does it: in rounds of 100 µs.
    while (scanner.counters().full_scans! < scan) {
      now = Math.max(now, scanner.next);
      now += scanner.run(now, 100_000).used;
    }
    const { user: used, system } = process.cpuUsage(start);
    times.push((used + system) * 1000);
  }
  return { times, sharing: scanner.counters().pages_sharing! };
}

async function theirs(): Promise<Result> {
  const kernel = new Kernel();
  const holders: KernelGuest[] = [];
  try {
    for (const [name, value] of Object.entries(knobs)) kernel.set(name, value);
    for (let guest = 0; guest < guests; guest++) {
      const holder = await KernelGuest.start(pagesPerGuest);
      holders.push(holder);
      await holder.write(0, contents(guest));
    }
    const times: number[] = [];
    let sharing = 0;
    for (let scan = 1; scan <= 2 + steadyScans; scan++) {
      const before = Kernel.cpuTime();
      sharing = (await kernel.scan()).pages_sharing!;
      times.push(Kernel.cpuTime() - before);
    }
    if (kernel.disturbedBy !== undefined) console.log(`${kernel.disturbedBy} disturbed the kernel's ksmd`);
    return { times, sharing };
  } finally {
    for (const holder of holders) await holder.end();
    kernel.close();
  }
}

/** Pages a second, in millions, of the first scan, of the second, which merges, and of the rest. */
function speeds({ times }: Result): readonly number[] {
  const pages = guests * pagesPerGuest;
  const steady = times.slice(2).reduce((sum, time) => sum + time, 0);
  return [(pages / times[0]!) * 1e3, (pages / times[1]!) * 1e3, ((pages * steadyScans) / steady) * 1e3];
}

// Once to warm up: the first scan is otherwise that of a compiler at work.
ours();
const mine = ours();
const why = unusable() ?? user();
const kernels = why === undefined ? await theirs() : undefined;
if (why !== undefined) console.log(`ksmd is not measured: ${why}`);
if (kernels !== undefined && kernels.sharing !== mine.sharing) {
  console.log(`pages_sharing is ${mine.sharing}, Linux's ${kernels.sharing}`);
}
const names = ['first scan', 'second scan, merging', 'steady state'];
const round = (value: number) => Math.round(value * 100) / 100;
console.table(
  names.map((name, i) => ({
    work: name,
    'M pages/s': round(speeds(mine)[i]!),
    ...(kernels === undefined
      ? {}
      : {
          'ksmd, M pages/s': round(speeds(kernels)[i]!),
          ratio: round(speeds(mine)[i]! / speeds(kernels)[i]!),
        }),
  })),
);
