/** Rounds: where runs end does not matter, nothing is done for guests that have nothing to do, guests come and go. */
import test from 'ava';
import { Host, type HostTask, round } from './host.ts';
import { LinuxScanner } from './ksm/linux/scanner.ts';
import { StateReader, StateWriter } from './state/state.ts';
import { processorsRoom } from './x86/processors.ts';

/** A host that merges the pages of two guests, which are switched off and have what was put there. */
function mergingHost() {
  const host = new Host({ memory: 64 << 20, translate: false });
  const guests = [1, 2].map((seed) =>
    host.addGuest({
      memory: 16 << 20,
      cpus: 1,
      seed,
      epoch: 0,
      serialOutput: () => {},
      ports: [{ onOutput: () => {} }],
      disks: [],
      balloonFeatures: [],
    }),
  );
  const ksmd = host.addScanner((memory) => new LinuxScanner('linux-6.18', { memory, costs: host.costs }));
  const fill = (pages: number) => {
    for (const { space } of guests) for (let page = 0; page < pages; page++) space.touch(page);
  };
  return { host, ksmd, fill };
}

test('the host’s state covers its scanner and what is measured of it; one that takes it up goes on alike', (t) => {
  const [original, copy] = [mergingHost(), mergingHost()];
  original.fill(200);
  original.ksmd.start();
  original.ksmd.scanner.knobs.set('run', 1);
  original.host.run(50e6);
  original.ksmd.sample(original.host.time);
  const writer = new StateWriter();
  original.host.saveState(writer);
  copy.host.loadState(new StateReader(writer.finish()));
  t.is(copy.host.stateHash(), original.host.stateHash());
  copy.ksmd.scanner.knobs.set('pages_to_scan', 7);
  t.not(copy.host.stateHash(), original.host.stateHash(), 'a knob');
  copy.ksmd.scanner.knobs.set('pages_to_scan', 100);
  t.is(copy.host.stateHash(), original.host.stateHash());
  copy.ksmd.sample(copy.host.time);
  t.not(copy.host.stateHash(), original.host.stateHash(), 'a sample');
  original.ksmd.sample(original.host.time);
  for (const { host } of [original, copy]) host.run(500e6);
  t.is(copy.host.stateHash(), original.host.stateHash());
  t.true(copy.ksmd.scanner.counters().pages_sharing! > 100);
  t.is(copy.ksmd.measures.savedPages, copy.ksmd.sample(copy.host.time).saved);
  t.throws(() => copy.host.addScanner(() => copy.ksmd.scanner), { message: /has a scanner already/ });
});

test('rounds in which nobody has anything to do are passed over, wherever runs end', (t) => {
  const runs = [1e9, 333_333, 100_000].map((step) => {
    const host = new Host({ memory: 16 << 20, translate: false });
    const times: number[] = [];
    let next = 250_000_123;
    const task: HostTask = {
      name: 'test',
      get next() {
        return next;
      },
      run(now, budget) {
        times.push(now);
        next = now + 123_456_789;
        return budget;
      },
    };
    host.addTask(task);
    while (host.time < 1e9) host.run(Math.min(1e9, host.time + step));
    t.is(host.time, 1e9);
    t.is(host.taskTime(task), times.length * round);
    return times;
  });
  // Asked for in a round, it works when that is over.
  t.is(runs[0]![0], 250_100_000);
  t.is(runs[0]!.length, 7);
  t.deepEqual(runs[1], runs[0]);
  t.deepEqual(runs[2], runs[0]);
});

test('what may be done between rounds only is refused within one', (t) => {
  const host = new Host({ memory: 32 << 20, translate: false });
  const busy: HostTask = { name: 'busy', next: 0, run: (_now, budget) => budget };
  host.addTask(busy);
  host.run(round / 2);
  t.false(host.isBetweenRounds);
  const options = {
    memory: 16 << 20,
    cpus: 1,
    seed: 1,
    epoch: 0,
    serialOutput: () => {},
    ports: [{ onOutput: () => {} }],
    disks: [],
    balloonFeatures: [],
  };
  t.throws(() => host.addGuest(options), { message: /run the host up to a multiple of 100000 ns/ });
  t.throws(() => host.stateHash(), { message: /in the middle of a round/ });
  host.run(round);
  const guest = host.addGuest(options);
  const hash = host.stateHash();
  t.regex(hash, /^[0-9a-f]{64}$/);
  host.removeGuest(guest);
  t.throws(() => host.removeGuest(guest), { message: /not on this host/ });
});

test('guests that are removed leave nothing behind, however many come and go', (t) => {
  const host = new Host({ memory: 32 << 20, translate: false });
  const before = host.pages.classes;
  for (let i = 0; i < 300; i++) {
    const guest = host.addGuest({
      memory: 64 << 20,
      cpus: 4,
      seed: 1,
      epoch: 0,
      serialOutput: () => {},
      ports: [{ onOutput: () => {} }],
      disks: [],
      balloonFeatures: [],
    });
    guest.space.touch(i);
    host.run(host.time + round);
    host.removeGuest(guest);
  }
  t.deepEqual(host.pages.classes, before);
  host.pages.check();
  host.run(host.time + 10 * round);
});

test('the room beside the frames is for all vCPUs, as far as addresses reach, and keeps addresses below 2 GiB where it can', (t) => {
  const [MiB, GiB] = [2 ** 20, 2 ** 30];
  const room = (memory: number, vcpus = 0) =>
    new Host({ memory, translate: false, vcpus }).memory.framesStart;
  t.is(room(320 * MiB), 2 * GiB - 320 * MiB);
  t.is(room(2 * GiB, 8), GiB);
  t.true(room(GiB, 200) > 512 * MiB + processorsRoom(200));
  t.is(room(2 * GiB, 1000), 2 * GiB);
  t.is(room(3 * GiB, 1000), GiB);
});
