/** Guests do anything in any order, with scanners at work and too few frames: what they read is what they wrote, and the books are right at every step. */
import test from 'ava';
import fc from 'fast-check';
import { type AddressSpace, satisfied } from './addressspace.ts';
import { checkLogs } from './checklog.ts';
import { pageSize } from './hostmemory.ts';
import * as slots from './slots.ts';
import { fill, halvesOf, MemoryFile, Rig } from './testing/rig.ts';

const pages = 120;
/** Few, so that pages are often equal. */
const mostWords = 4;

const both = (word: number) => word * 17;
const asOne = ([lower, upper]: readonly [number, number]) => lower + 16 * upper;

/** What the guests' pages hold, the simple way: the words of a page's halves as one number. */
type Model = Map<AddressSpace, number[]>;

interface World {
  readonly rig: Rig;
  readonly model: Model;
  readonly guests: AddressSpace[];
  /** Pages of each guest that were written since writes have been watched. */
  readonly written: Map<AddressSpace, Set<number>>;
}

function wrote({ model, written }: World, guest: AddressSpace, page: number, word: number): void {
  model.get(guest)![page] = word;
  written.get(guest)?.add(page);
}

/** Does something; numbers choose guest, page and value. */
type Action = (world: World, guest: AddressSpace, page: number, word: number) => void;

const actions: Record<string, Action> = {
  write: (world, guest, page, word) => {
    world.rig.write(guest, page, word);
    if (!world.rig.stopped.has(guest)) wrote(world, guest, page, both(word));
  },
  writeUpper: (world, guest, page, word) => {
    world.rig.writeUpper(guest, page, word);
    const lower = world.model.get(guest)![page]! % 16;
    if (!world.rig.stopped.has(guest)) wrote(world, guest, page, lower + 16 * word);
  },
  read: ({ rig, model }, guest, page) => {
    const word = asOne(rig.readHalves(guest, page));
    if (!rig.stopped.has(guest)) same(word, model.get(guest)![page]!, `page ${page} of guest ${guest.id}`);
  },
  sweep: (world, guest, page, word) => {
    for (let each = page; each < Math.min(pages, page + 60); each++) {
      world.rig.write(guest, each, word);
      if (world.rig.stopped.has(guest)) return;
      wrote(world, guest, each, both(word));
    }
  },
  deviceWrite: (world, guest, page, word) => {
    const { rig } = world;
    rig.beginRound();
    if (!guest.inRound || !guest.ready) return;
    // Some writes are prepared, others take of the devices' reserve.
    if (page % 2 === 0 && !guest.prepare(page, 1)) return;
    fill(rig.memory, guest.touch(page), word);
    wrote(world, guest, page, both(word));
  },
  deviceRead: ({ rig, model }, guest, page) => {
    rig.beginRound();
    if (!guest.inRound) return;
    same(asOne(halvesOf(rig.memory, guest.peek(page))), model.get(guest)![page]!, 'what a device reads');
  },
  balloon: ({ rig, model }, guest, page) => {
    if (!mayAct(rig, guest)) return;
    guest.release(page, slots.ballooned);
    model.get(guest)![page] = 0;
  },
  deflate: (_, guest, page) => guest.returned(page),
  report: ({ rig, model }, guest, page, word) => {
    if (!mayAct(rig, guest)) return;
    for (let each = page; each < Math.min(pages, page + 8 * word); each++) {
      guest.release(each, slots.reported);
      model.get(guest)![each] = 0;
    }
  },
  watch: ({ rig, written }, guest) => {
    rig.endRound();
    guest.watchWrites();
    written.set(guest, new Set());
  },
  hint: ({ rig, model, written }, guest, page) => {
    if (!mayAct(rig, guest)) return;
    for (let each = page; each < Math.min(pages, page + 20); each++) {
      if (!guest.isUnwritten(each)) continue;
      if (written.get(guest)!.has(each)) throw new Error(`page ${each} of guest ${guest.id} was written`);
      guest.release(each, slots.reported);
      model.get(guest)![each] = 0;
    }
  },
  merge: ({ rig }) => {
    rig.endRound();
    mergeEqual(rig);
  },
  unshare: ({ rig }, guest, page) => {
    rig.endRound();
    rig.pages.merging.unshare(guest, page);
  },
  unshareAll: ({ rig }, guest) => {
    rig.endRound();
    for (let page = 0; page < pages; page++) rig.pages.merging.unshare(guest, page);
  },
  idle: ({ rig }, guest) => {
    rig.endRound();
    rig.idle.add(guest);
  },
  rounds: ({ rig }, _guest, page) => rig.rounds(page % 7),
  kswapd: ({ rig }) => {
    rig.kswapd = !rig.kswapd;
  },
  replaceGuest: (world, guest) => {
    world.rig.endRound();
    world.rig.pages.remove(guest);
    world.model.delete(guest);
    world.rig.idle.delete(guest);
    world.guests.splice(world.guests.indexOf(guest), 1, added(world));
  },
};

/** A guest's devices work in its rounds and between all rounds, but not in a round into which it was not let for want of frames. */
function mayAct({ pages: { books } }: Rig, guest: AddressSpace): boolean {
  return guest.inRound || !books.spaces.some((each) => each.inRound);
}

function same(found: number, wanted: number, what: string): void {
  if (found !== wanted) throw new Error(`${what} is ${found}, ${wanted} was written`);
}

function added({ rig, model }: World): AddressSpace {
  const guest = rig.guest(pages);
  model.set(guest, new Array<number>(pages).fill(0));
  return guest;
}

/** Merges all equal pages, as a scanner without scruples. */
function mergeEqual({ pages: { merging }, memory }: Rig): void {
  const known = new Map<number, number>();
  for (const space of merging.spaces) {
    for (let page = 0; page < space.pageCount; page++) {
      const frame = merging.frameOf(space, page);
      if (frame === 0) continue;
      const word = asOne(halvesOf(memory, frame));
      const shared = known.get(word);
      if (merging.classOf(frame) === 'ksm') known.set(word, frame);
      else if (merging.classOf(frame) !== 'private') continue;
      else if (word === 0) merging.replace(space, page, merging.zeroFrame);
      else if (shared !== undefined) merging.replace(space, page, shared);
      else if (page % 3 !== 0) {
        merging.share(space, page, word);
        known.set(word, frame);
      }
    }
  }
}

interface Step {
  readonly action: string;
  readonly guest: number;
  readonly page: number;
  readonly word: number;
}

const step = (names: readonly string[]): fc.Arbitrary<Step> =>
  fc.record({
    action: fc.constantFrom(...names),
    guest: fc.nat(2),
    page: fc.nat(pages - 1),
    word: fc.integer({ min: 0, max: mostWords }),
  });

/** Two of three steps are reads and writes. */
const weighted = (names: readonly string[]) =>
  fc.oneof(
    { weight: 2, arbitrary: step(['write', 'writeUpper', 'read', 'sweep']) },
    { weight: 1, arbitrary: step(names) },
  );

function run(rig: Rig, steps: readonly Step[]): World {
  const world: World = { rig, model: new Map(), guests: [], written: new Map() };
  for (let i = 0; i < 3; i++) world.guests.push(added(world));
  for (const { action, guest, page, word } of steps) {
    const space = world.guests[guest]!;
    if (rig.stopped.has(space) && action !== 'replaceGuest') continue;
    actions[action]!(world, space, page, word);
    // In a round the logs are proved, between rounds the books.
    if (rig.pages.books.spaces.some((each) => each.inRound)) checkLogs(rig.pages.books);
    else rig.pages.check();
  }
  rig.endRound();
  rig.idle.clear();
  for (const [space, words] of world.model) {
    for (const [page, word] of words.entries()) {
      const found = asOne(rig.readHalves(space, page));
      if (rig.stopped.has(space)) break;
      same(found, word, `in the end page ${page} of guest ${space.id}`);
    }
  }
  rig.endRound();
  return world;
}

const all = Object.keys(actions);

test('enough swap: nobody ends, and nothing is lost', (t) => {
  fc.assert(
    fc.property(fc.array(weighted(all), { maxLength: 60 }), (steps) => {
      const { rig } = run(new Rig({ frames: 200, swapPages: 600 }), steps);
      return rig.stopped.size === 0;
    }),
    { numRuns: 30 },
  );
  t.pass();
});

test('swap that runs out, or whose disk is full: guests may end, the others lose nothing', (t) => {
  fc.assert(
    fc.property(
      fc.array(weighted(all), { maxLength: 60 }),
      fc.nat(40),
      fc.boolean(),
      fc.nat(3),
      (steps, room, policy, pageCluster) => {
        const file = new MemoryFile(100 * pageSize);
        file.room = room * pageSize;
        run(
          new Rig({
            frames: 180,
            swapPages: 100,
            file,
            oom: policy ? 'largest' : 'requester',
            pageCluster,
          }),
          steps,
        );
      },
    ),
    { numRuns: 30 },
  );
  t.pass();
});

test('the same steps give the same waits and the same state', (t) => {
  fc.assert(
    fc.property(fc.array(weighted(all), { minLength: 20, maxLength: 60 }), (steps) => {
      const [one, other] = [1, 2].map(() => run(new Rig({ frames: 200, swapPages: 600 }), steps));
      t.deepEqual(one!.rig.waits, other!.rig.waits);
      t.deepEqual(one!.rig.faults, other!.rig.faults);
      t.deepEqual(one!.rig.pages.classes, other!.rig.pages.classes);
    }),
    { numRuns: 5 },
  );
});

test('the model and the rig can tell a lie from the truth', (t) => {
  const rig = new Rig({ frames: 200 });
  const guest = rig.guest(pages);
  rig.write(guest, 3, 4);
  t.true(satisfied(guest.slot(3), true));
  rig.memory.u8[guest.frameOf(3) + 77]! ^= 1;
  t.throws(() => rig.read(guest, 3), { message: /is not what was written/ });
  rig.endRound();
  guest.setSlot(3, guest.slot(3) & ~slots.writable);
  t.throws(() => rig.pages.check(), { name: 'BooksError', message: /permission to write/ });
});
