/**
 * Against the KSM of the kernel that runs here: the same pages, the same knobs, the same events, and every counter compared after each
 * full scan. Runs where `/sys/kernel/mm/ksm/run` can be written and the kernel's KSM is one that a profile follows.
 *
 * What the kernel (6.18) taught, where nothing else tells:
 * - The knobs accept what `linux/knobs.test.ts` lists.
 * - A chain that is left with one frame ends when it is next looked at, however long stable_node_chains_prune_millisecs is; that
 *   only says how often all frames of a chain are looked at.
 * - cow_ksm also counts the pages that run = 2 gives frames of their own, but not those that were on the zero frame.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { release } from 'node:os';
import test, { type ExecutionContext } from 'ava';
import { pageSize } from '../memory/hostmemory.ts';
import type { MergeSpace } from '../memory/merge.ts';
import type { ProfileName } from './linux/profiles.ts';
import type { KnobValue } from './scanner.ts';
import { Kernel, KernelGuest, unusable, user } from './testing/kernel.ts';
import { Lab, mixture, numbers, pageOf } from './testing/lab.ts';

/** The profile that follows the kernel here. */
function profileHere(): ProfileName | undefined {
  const [major, minor] = release().split('.').map(Number) as [number, number];
  const version = major * 100 + minor;
  if (version >= 618) return 'linux-6.18';
  if (version >= 611) return 'linux-6.12';
  if (version >= 608) return 'linux-6.8';
  return undefined;
}

const profile = profileHere();
const reason = unusable() ?? (profile === undefined ? `no profile follows Linux ${release()}` : undefined);
const serially = reason === undefined ? test.serial : test.serial.skip;
if (reason !== undefined) {
  test('the comparison with the KSM of this machine is left out', (t) => {
    t.log(reason);
    t.pass();
  });
}

/** A guest in both. */
interface Twin {
  readonly ours: MergeSpace;
  readonly theirs: KernelGuest;
}

/** Ours and the kernel's, treated alike. */
class Both {
  readonly lab: Lab;
  readonly kernel: Kernel;
  readonly guests: Twin[] = [];
  readonly log: string[] = [];

  constructor(lab: Lab, kernel: Kernel) {
    this.lab = lab;
    this.kernel = kernel;
  }

  set(name: string, value: KnobValue): void {
    this.kernel.set(name, value);
    this.lab.scanner.knobs.set(name, value);
  }

  async add(pages: readonly Uint8Array[]): Promise<Twin> {
    const theirs = await KernelGuest.start(pages.length);
    const twin = { ours: this.lab.memory.addSpace(pages.length), theirs };
    this.guests.push(twin);
    await this.writeAll(twin, 0, pages);
    return twin;
  }

  async writeAll(twin: Twin, first: number, pages: readonly Uint8Array[]): Promise<void> {
    const content = new Uint8Array(pages.length * pageSize);
    pages.forEach((page, i) => {
      content.set(page, i * pageSize);
      this.lab.memory.write(twin.ours, first + i, page);
    });
    await twin.theirs.write(first, content);
  }

  async discard(twin: Twin, first: number, count: number): Promise<void> {
    for (let page = first; page < first + count; page++) this.lab.memory.discard(twin.ours, page);
    await twin.theirs.discard(first, count);
  }

  async end(twin: Twin): Promise<void> {
    this.guests.splice(this.guests.indexOf(twin), 1);
    this.lab.memory.removeSpace(twin.ours);
    await twin.theirs.end();
  }

  /** A full scan of both; what differs goes to the log. */
  async scan(what: string): Promise<void> {
    this.lab.scan();
    await this.kernel.scan();
    if (this.kernel.disturbedBy !== undefined) throw new Disturbed(`${this.kernel.disturbedBy} came along`);
    this.compare(what);
  }

  /** A batch of both. */
  async batch(what: string): Promise<void> {
    this.lab.batch();
    await this.kernel.batch();
    if (this.kernel.disturbedBy !== undefined) throw new Disturbed(`${this.kernel.disturbedBy} came along`);
    this.compare(what);
  }

  compare(what: string): void {
    const ours = this.lab.scanner.counters();
    for (const [name, value] of Object.entries(this.kernel.counters())) {
      if (ours[name] !== value) this.log.push(`${what}: ${name} is ${ours[name]}, Linux's ${value}`);
    }
    this.guests.forEach((twin, i) => {
      const mine = this.lab.scanner.countersOf(twin.ours);
      const fields = twin.theirs.counters();
      for (const name of Object.keys(mine)) {
        if (mine[name] !== fields[name])
          this.log.push(`${what}: ${name} of guest ${i} is ${mine[name]}, Linux's ${fields[name]}`);
      }
    });
  }
}

/** Somebody else used the kernel's KSM. */
class Disturbed extends Error {
  override name = 'Disturbed';
}

/** How often a comparison is tried when others disturb it, and for how many seconds all of them together wait for others. */
const attempts = 3;
let patience = 20;

/** Does `act` with both, and puts the kernel back whatever happens; gives what differed. */
async function withBoth(
  t: ExecutionContext,
  knobs: Record<string, KnobValue>,
  act: (both: Both) => Promise<void>,
): Promise<string[]> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    try {
      return await once(knobs, act);
    } catch (error) {
      if (!(error instanceof Disturbed)) throw error;
      t.log(`not compared: ${error.message}`);
    }
  }
  return [];
}

async function once(knobs: Record<string, KnobValue>, act: (both: Both) => Promise<void>): Promise<string[]> {
  for (let other = user(); other !== undefined; other = user()) {
    if (patience-- <= 0) throw new Disturbed(other);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  const kernel = new Kernel();
  const both = new Both(new Lab({ profile: profile!, frames: 12000 }), kernel);
  try {
    for (const [name, value] of Object.entries(knobs)) both.set(name, value);
    await act(both);
    return both.log;
  } finally {
    for (const { theirs } of both.guests) await theirs.end();
    kernel.close();
  }
}

for (const useZeroPages of [0, 1]) {
  for (const maxSharing of [2, 256]) {
    for (const smartScan of [0, 1]) {
      const knobs = {
        use_zero_pages: useZeroPages,
        max_page_sharing: maxSharing,
        smart_scan: smartScan,
        // Chains are pruned whenever they are looked at, so that time has no part in it.
        stable_node_chains_prune_millisecs: 0,
      };
      serially(`every counter after each full scan: ${JSON.stringify(knobs)}`, async (t) => {
        const log = await withBoth(t, knobs, async (both) => {
          const below = numbers(77);
          const one = await both.add(mixture(1));
          const two = await both.add(mixture(2));
          for (let scan = 1; scan <= 4; scan++) await both.scan(`scan ${scan}`);

          // Pages change between full scans: some each time, some to what others hold.
          for (let scan = 5; scan <= 9; scan++) {
            for (let change = 0; change < 60; change++) {
              const guest = below(2) === 0 ? one : two;
              const content = [
                pageOf(below(1e9)),
                pageOf(12),
                pageOf(0),
                pageOf(11),
                pageOf(100 + below(20)),
              ];
              await both.writeAll(guest, below(900), [content[below(5)]!]);
            }
            both.compare(`written before scan ${scan}`);
            await both.scan(`scan ${scan}, pages written`);
          }
          // Frames go back, a guest comes, another goes.
          for (let count = 0; count < 30; count++) await both.discard(one, below(900), 1 + below(5));
          await both.scan('pages discarded');
          await both.discard(two, 0, 400);
          await both.scan('many pages discarded');
          await both.add(mixture(3));
          await both.scan('a guest more');
          await both.scan('a guest more, again');
          await both.end(one);
          await both.scan('a guest less');
          await both.scan('a guest less, again');
          await both.writeAll(two, 0, mixture(4).slice(0, 400));
          for (let scan = 1; scan <= 12; scan++) await both.scan(`later scan ${scan}`);

          both.set('run', 2);
          both.compare('unmerged');
          both.lab.scanner.knobs.set('run', 1);
          await both.scan('merging again');
          await both.scan('merging again, second scan');
        });
        t.deepEqual(log.slice(0, 20), []);
      });
    }
  }
}

serially(
  'every counter after each batch, guests coming and going in the middle of a full scan',
  async (t) => {
    const knobs = {
      pages_to_scan: 211,
      max_page_sharing: 7,
      use_zero_pages: 1,
      stable_node_chains_prune_millisecs: 0,
    };
    const log = await withBoth(t, knobs, async (both) => {
      const batches = async (count: number, what: string) => {
        for (let batch = 1; batch <= count; batch++) await both.batch(`${what}, batch ${batch}`);
      };
      const one = await both.add(mixture(1));
      await both.add(mixture(2));
      const three = await both.add(mixture(3));
      // A full scan of 2787 pages is 14 batches.
      await batches(21, 'in the second scan');
      const four = await both.add(mixture(4));
      await batches(30, 'a guest came');
      await both.discard(three, 0, 929);
      await batches(15, 'a guest was emptied');
      await both.end(four);
      await both.end(one);
      await batches(40, 'guests went');
      await both.writeAll(three, 0, mixture(3));
      await batches(40, 'a guest was filled');
    });
    t.deepEqual(log.slice(0, 20), []);
  },
);

serially('chains that lose their pages', async (t) => {
  const copies = (count: number) => Array.from({ length: count }, () => pageOf(12));
  for (const prune of [0, 1_000_000]) {
    const knobs = { max_page_sharing: 3, stable_node_chains_prune_millisecs: prune };
    const log = await withBoth(t, knobs, async (both) => {
      const one = await both.add(copies(30));
      const two = await both.add([...copies(1), pageOf(1), pageOf(2)]);
      for (let scan = 1; scan <= 3; scan++) await both.scan(`scan ${scan}`);
      for (const left of [20, 10, 5, 3, 2, 1, 0]) {
        await both.discard(one, left, 30 - left);
        both.compare(`${left} pages left`);
        // Pages that look for the content, so that the chain is looked at.
        await both.writeAll(two, 0, [pageOf(left + 50), pageOf(12), pageOf(12)]);
        for (let scan = 1; scan <= 3; scan++) await both.scan(`${left} pages left, scan ${scan}`);
        await both.writeAll(two, 0, [pageOf(left + 50), pageOf(70), pageOf(71)]);
        for (let scan = 1; scan <= 2; scan++) await both.scan(`${left} pages left, written, scan ${scan}`);
      }
    });
    t.deepEqual(log.slice(0, 20), [], `pruned every ${prune} ms`);
  }
});

serially('pages of real programs and their data', async (t) => {
  const file = openSync(process.execPath, 'r');
  const size = 2500 * pageSize;
  const bytes = new Uint8Array(size);
  // From the middle of the file, where code, tables and strings meet.
  const middle = Math.floor(statSync(process.execPath).size / 2 / pageSize) * pageSize;
  readSync(file, bytes, 0, size, middle);
  closeSync(file);
  const pages = Array.from({ length: size / pageSize }, (_, i) =>
    bytes.subarray(i * pageSize, (i + 1) * pageSize),
  );
  const log = await withBoth(t, { use_zero_pages: 1 }, async (both) => {
    await both.add(pages.slice(0, 2000));
    const other = await both.add(pages.slice(500, 2500));
    for (let scan = 1; scan <= 5; scan++) await both.scan(`scan ${scan}`);
    await both.writeAll(other, 300, pages.slice(0, 900));
    for (let scan = 6; scan <= 12; scan++) await both.scan(`written, scan ${scan}`);
  });
  t.deepEqual(log.slice(0, 20), []);
});
