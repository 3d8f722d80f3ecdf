import test from 'ava';
import type { MergeSpace } from '../../memory/merge.ts';
import { Lab, mixture, numbers, pageOf } from '../testing/lab.ts';
import type { ProfileName } from './profiles.ts';
import { profiles } from './profiles.ts';

/** Much happens to a lab, in small turns; `between` is called now and then. */
function eventful(lab: Lab, seed: number, between: (step: number) => void): void {
  const below = numbers(seed);
  const guests: MergeSpace[] = [lab.guest(mixture(1)), lab.guest(mixture(2))];
  for (let step = 0; step < 400; step++) {
    lab.now = Math.max(lab.now, lab.scanner.next);
    lab.now += lab.scanner.run(lab.now, 40_000).used;
    lab.memory.time = lab.now;
    const guest = guests[below(guests.length)]!;
    const page = below(guest.pageCount);
    const content = [pageOf(below(1e9)), pageOf(12), pageOf(0), pageOf(100 + below(20))][below(4)]!;
    if (below(3) === 0) lab.memory.write(guest, page, content);
    if (below(10) === 0) lab.memory.discard(guest, page);
    if (step === 150) guests.push(lab.guest(mixture(3)));
    if (step === 250) lab.memory.removeSpace(guests.shift()!);
    between(step);
  }
}

const knobs = { max_page_sharing: 20, pages_to_scan: 300, use_zero_pages: 1 };

for (const profile of Object.keys(profiles) as ProfileName[]) {
  test(`${profile}: a scanner that takes up a state goes on as the one that wrote it`, (t) => {
    const plain = new Lab({ profile, frames: 4000, knobs });
    eventful(plain, 5, () => {});
    const renewed = new Lab({ profile, frames: 4000, knobs });
    eventful(renewed, 5, (step) => {
      if (step % 37 !== 0) return;
      const before = renewed.save();
      renewed.renew();
      t.deepEqual(renewed.save(), before);
    });
    t.deepEqual(renewed.scanner.counters(), plain.scanner.counters());
    t.deepEqual(renewed.save(), plain.save());
    t.true(plain.scanner.counters().stable_node_chains! > 0);
    t.true(plain.scanner.counters().ksm_zero_pages! > 0);
  });
}

test('a state of another profile is refused', (t) => {
  const lab = new Lab({ profile: 'linux-6.8' });
  const state = lab.save();
  t.throws(() => new Lab({ profile: 'linux-6.1' }).load(state), {
    message: /the saved scanner is linux-6.8, this one is linux-6.1/,
  });
});
