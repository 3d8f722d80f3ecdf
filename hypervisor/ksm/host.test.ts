/** Scanners over the host's real memory: with copy-on-write breaks, balloon, swap and guests that come and go. */
import test from 'ava';
import { costs } from '../clock/costs.ts';
import type { AddressSpace } from '../memory/addressspace.ts';
import * as slots from '../memory/slots.ts';
import { Rig, type RigOptions } from '../memory/testing/rig.ts';
import { MergeMeasures } from './measures.ts';
import { Oracle } from './oracle.ts';
import { scanners } from './scanners.ts';
import { numbers } from './testing/lab.ts';

const pages = 300;
const knobs: Record<string, number> = {
  run: 1,
  pages_to_scan: 200,
  sleep_millisecs: 0,
  max_page_sharing: 8,
  use_zero_pages: 1,
  ShareScanVM: 1e6,
  ShareScanTotal: 1e6,
};

/** Guests that write, read, give back and leave while a scanner works; the rig proves the books behind every round. */
function work(name: string, options: RigOptions) {
  const rig = new Rig(options);
  const measures = new MergeMeasures(rig.pages.merging);
  const scanner = scanners[name]!({ memory: measures, costs: costs(), seed: 3 });
  for (const known of scanner.knobs.names) if (known in knobs) scanner.knobs.set(known, knobs[known]!);
  const oracle = new Oracle(rig.pages.merging);
  const below = numbers(17);
  const model = new Map<AddressSpace, number[]>();
  const add = () => {
    const space = rig.guest(pages);
    model.set(space, new Array(pages).fill(0));
    return space;
  };
  const guests = [add(), add(), add()];
  let mostSaved = 0;
  for (let step = 0; step < 200; step++) {
    for (let i = 0; i < 12; i++) {
      const guest = guests[below(guests.length)]!;
      const page = below(pages);
      switch (below(8)) {
        case 0:
          if (rig.read(guest, page) !== model.get(guest)![page])
            throw new Error(`page ${page} is not what was written`);
          break;
        case 1:
          rig.beginRound();
          if (!guest.inRound) break;
          guest.release(page, slots.reported);
          model.get(guest)![page] = 0;
          break;
        default: {
          const word = below(40);
          rig.write(guest, page, word);
          model.get(guest)![page] = word;
        }
      }
    }
    rig.endRound();
    measures.advance(rig.time);
    scanner.run(rig.time, 100_000);
    rig.pages.check();
    if (step % 20 === 0) {
      const { ideal, saved, missed } = oracle.sample(scanner, measures);
      const total = Object.values(missed).reduce((sum, count) => sum + count);
      if (total !== ideal - saved) throw new Error(`${total} are missed by reason, ${ideal - saved} in all`);
    }
    mostSaved = Math.max(mostSaved, measures.savedPages);
    if (step === 100) {
      const gone = guests.shift()!;
      rig.pages.remove(gone);
      guests.push(add());
    }
  }
  for (const guest of guests) {
    for (let page = 0; page < pages; page++) {
      if (rig.read(guest, page) !== model.get(guest)![page]) throw new Error(`page ${page} is lost`);
    }
  }
  rig.endRound();
  return { rig, scanner, measures, mostSaved };
}

for (const name of Object.keys(scanners)) {
  test(`${name}: nothing is lost while frames are plenty`, (t) => {
    const { mostSaved, measures, rig } = work(name, { frames: 1500 });
    t.true(mostSaved > 100, `${mostSaved}`);
    t.true(measures.lifetimes.count > 100);
    t.is(rig.stopped.size, 0);
  });

  test(`${name}: nothing is lost while merged pages go to swap`, (t) => {
    const { mostSaved, scanner } = work(name, { frames: 250, swapPages: 2000 });
    t.true(mostSaved > 20, `${mostSaved}`);
    t.true(scanner.counters().cow_ksm! > 0);
  });
}

test('run = 2 over the real memory leaves no page merged', (t) => {
  const { scanner, rig, measures } = work('linux-6.18', { frames: 1500 });
  scanner.knobs.set('run', 2);
  rig.pages.check();
  t.is(measures.savedPages, 0);
  t.like(scanner.counters(), { pages_shared: 0, pages_sharing: 0, ksm_zero_pages: 0, ksm_rmap_items: 0 });
});
