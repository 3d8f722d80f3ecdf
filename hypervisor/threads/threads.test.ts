/** Guests on worker threads: they are as guests on the host's thread, and what goes wrong with them is told. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { startRequest, workloadSchema } from '../../workloads/catalog.ts';
import { microguestHost } from '../../workloads/microguest/testing/machine.ts';
import { costs } from '../clock/costs.ts';
import { Host } from '../host.ts';
import { HostMemory } from '../memory/hostmemory.ts';
import { logBytes, logged, SpaceLog } from '../memory/log.ts';
import * as slots from '../memory/slots.ts';
import type { SwapFile } from '../memory/swap/file.ts';
import { StateReader, StateWriter } from '../state/state.ts';
import { GuestThread } from './guestthread.ts';
import { RemoteGuest } from './remoteguest.ts';

const ms = 1e6;
const recipe = (rate: number) =>
  workloadSchema.parse({
    name: 'recipe',
    area: [{ unique: 50 }, { equal: 50 }],
    rate,
    write_share: 0.5,
    report: '10ms',
  });

const silent = {
  memory: 16 << 20,
  cpus: 1,
  seed: 1,
  epoch: 0,
  serialOutput: () => {},
  ports: [{ onOutput: () => {} }],
  disks: [],
  balloonFeatures: [],
};

/** Three guests with all that a host does to them from outside; closed behind the test. */
async function guestsOn(t: ExecutionContext, workers: number) {
  const { host, guests } = await microguestHost([recipe(1000), recipe(1000), recipe(3000)], {
    memory: 16 << 20,
    workers,
  });
  t.teardown(() => host.close());
  const figures = () =>
    guests.map(({ guest, serial, reported }) => ({
      serial: serial(),
      reported: JSON.stringify(reported),
      time: guest.time,
      end: guest.end,
      instructions: guest.instructions,
      cpu: guest.cpus.map(({ idle, blockedUntil, executed, hasCpu }) => [
        idle,
        blockedUntil,
        executed,
        hasCpu,
      ]),
      balloon: [
        guest.balloon.target,
        guest.balloon.actual,
        guest.balloon.driven,
        guest.balloon.stats?.values,
      ],
      faults: guest.space.counters.counts,
      touches: guest.measures.faults.first_touch.count,
      hash: guest.stateHash(),
    }));
  return { host, guests: guests.map(({ guest }) => guest), figures };
}

test('a guest on a worker does the same, looks the same, and takes the same from outside', async (t) => {
  const seen = [];
  for (const workers of [1, 2, 3]) {
    const { host, guests, figures } = await guestsOn(t, workers);
    t.is(guests.filter((guest) => guest instanceof RemoteGuest).length, workers - 1);
    const all: unknown[] = [];
    const look = () => all.push(figures(), host.stateHash());
    look();
    host.run(20 * ms);
    for (const { balloon } of guests) {
      balloon.setTarget(500);
      balloon.setStatsInterval(5 * ms);
    }
    look();
    host.run(31 * ms + 12_345);
    for (const { console } of guests) console.input(2, startRequest(recipe(2000), 0));
    host.run(60 * ms);
    guests[2]!.stop('enough');
    look();
    host.run(80 * ms);
    host.removeGuest(guests[1]!);
    host.pages.check();
    host.run(100 * ms);
    all.push(guests[1]!.instructions, guests[1]!.end, guests[1]!.space.counters.counts, guests[1]!.time);
    all.push(guests[0]!.stateHash(), host.stateHash());
    if (workers > 1)
      t.throws(() => guests[1]!.serialInput(Uint8Array.of(1)), { message: /not on this host/ });
    seen.push(all);
  }
  t.deepEqual(seen[1], seen[0]);
  t.deepEqual(seen[2], seen[0]);
  const figures = seen[0]![4] as Awaited<ReturnType<Awaited<ReturnType<typeof guestsOn>>['figures']>>;
  t.deepEqual(figures[1]!.balloon.slice(0, 3), [500, 500, true]);
  t.true(figures[1]!.touches > 100);
  t.regex(figures[1]!.reported, /"progress"/);
});

test('what the host changes in a guest’s memory between rounds, the guest’s TLB on another thread forgets', async (t) => {
  const used = await Promise.all(
    [1, 2].map(async (workers) => {
      const reading = { ...recipe(20_000), write_share: 0 };
      const { host, guests } = await microguestHost([reading, reading], { memory: 16 << 20, workers });
      t.teardown(() => host.close());
      host.run(20 * ms);
      const { space } = guests[1]!.guest;
      const { merging } = host.pages;
      const pages = Array.from({ length: space.pageCount }, (_, page) => page);
      const shared = pages.filter(
        (page) => merging.frameOf(space, page) !== 0 && merging.classOf(space.frameOf(page)) === 'private',
      );
      for (const page of shared) merging.share(space, page, 1);
      host.run(40 * ms);
      const still = shared.filter((page) => merging.classOf(space.frameOf(page)) === 'ksm');
      for (const page of still) {
        space.resolve(page, true, host.time);
        space.setSlot(page, space.slot(page) & ~slots.accessed);
      }
      host.run(50 * ms);
      host.pages.check();
      const again = still.filter((page) => (space.slot(page) & slots.accessed) !== 0);
      return { still, again, state: host.stateHash() };
    }),
  );
  const [here, there] = used.map(({ still, again, state }) => [still.length, again.length, state]);
  t.true((here![1] as number) > 50, `${here![1]} pages`);
  t.deepEqual(there, here);
});

test('a state that was written with guests on one thread goes on with guests on two, and the other way round', async (t) => {
  const [one, two] = [await guestsOn(t, 1), await guestsOn(t, 2)];
  one.host.run(30 * ms);
  two.host.run(45 * ms);
  const [early, late] = [one, two].map(({ host }) => {
    const writer = new StateWriter();
    host.saveState(writer);
    return writer.finish();
  });
  two.host.loadState(new StateReader(early!));
  t.is(two.host.stateHash(), one.host.stateHash());
  for (const { host } of [one, two]) host.run(45 * ms);
  t.is(two.host.stateHash(), one.host.stateHash());
  one.host.loadState(new StateReader(late!));
  t.is(one.host.stateHash(), two.host.stateHash());
});

test('what goes wrong on a worker is thrown where it was asked for, with the place', async (t) => {
  const host = new Host({ memory: 64 << 20, translate: false, workers: 2 });
  t.teardown(() => host.close());
  host.addGuest(silent);
  const disks = [{ path: '/nowhere/disk.img', readOnly: true }];
  const error = t.throws(() => host.addGuest({ ...silent, disks }), {
    message: /^disk image \/nowhere\/disk\.img: cannot open: ENOENT/,
  });
  t.regex(error!.stack!, /threads\/service\.ts/);
  // The worker is as good as before.
  host.addGuest(silent);
  t.true(host.addGuest(silent) instanceof RemoteGuest);
  host.run(ms);
});

const setup = {
  frameBytes: 4096 * 16,
  arenaBytes: 128 << 20,
  translate: false,
  costs: costs(),
  frameTables: 65536,
  zeroFrame: 128 << 20,
  swap: undefined,
} as const;

test('a worker that cannot start says so to whoever asks it for something', (t) => {
  const memory = new HostMemory(4096 * 16, 128 << 20);
  const thread = new GuestThread(memory, { ...setup, translate: null as never }, 1 << 20);
  const ask = () => thread.call({ kind: 'save', guest: 1 }, 0);
  for (let i = 0; i < 2; i++) t.throws(ask, { message: /^a worker thread did not start: / });
  thread.end();
});

test('a worker that is asked for nonsense says so, and nothing can be asked once the host is closed', (t) => {
  const memory = new HostMemory(4096 * 16, 128 << 20);
  const thread = new GuestThread(memory, setup, 1 << 20);
  const ask = () => thread.call({ kind: 'save', guest: 1 }, 0);
  const error = t.throws(ask, { instanceOf: Error });
  t.regex(error!.stack!, /threads\/service\.ts/);
  thread.end();
  thread.end();
  t.throws(ask, { message: 'the host was closed' });
});

test('a swap that one thread alone can read is refused', (t) => {
  const file: SwapFile = { name: 'in memory', read: () => {}, write: () => {}, close: () => {} };
  const swap = { file, size: 1 << 20, device: 'nvme' } as const;
  t.throws(() => new Host({ memory: 16 << 20, translate: false, workers: 2, swap }), {
    message: /^swap file in memory: only one thread can read it/,
  });
  t.notThrows(() => new Host({ memory: 16 << 20, translate: false, swap }));
});

test('a process ends though a worker of its waits', async (t) => {
  const script = `
    const { Host } = await import(${JSON.stringify(new URL('../host.ts', import.meta.url).href)});
    const host = new Host({ memory: 64 << 20, translate: false, workers: 3 });
    for (let i = 0; i < 3; i++) host.addGuest({ ...${JSON.stringify(silent)}, serialOutput() {}, ports: [{ onOutput() {} }] });
    host.run(1e6);
    console.log('done');
  `;
  const cwd = fileURLToPath(new URL('.', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd,
  });
  t.is(stdout, 'done\n');
});

test('a log that is longer than its place in memory is handed over whole', (t) => {
  const memory = new HostMemory(0, 1 << 20);
  const at = memory.allocate(logBytes, 8);
  const [guests, hosts] = [0, 1].map(() => new SpaceLog(memory.u32.subarray(at / 4, (at + logBytes) / 4)));
  const rows = Array.from({ length: 1000 }, (_, i) => [i % 6, i, 4096 * i, 7 * i] as const);
  for (const [i, row] of rows.entries()) {
    guests!.push(...row);
    // As at the end of a part of the round.
    if (i !== 599) continue;
    hosts!.addRest(guests!.takeRest()!);
  }
  hosts!.addRest(guests!.takeRest()!);
  t.is(guests!.takeRest(), undefined);
  t.is(hosts!.length, 1000);
  const found = rows.map((_, i) => [hosts!.kind(i), hosts!.page(i), hosts!.first(i), hosts!.second(i)]);
  t.deepEqual(found, rows as never);
  hosts!.clear();
  guests!.push(logged.zero, 5, 0, 0);
  t.deepEqual([hosts!.length, hosts!.page(0)], [1, 5]);
});
