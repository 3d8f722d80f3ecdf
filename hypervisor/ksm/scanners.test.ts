/** What holds for every scanner: those that come with the host, and the example of the documentation. */
import test from 'ava';
import { createScanner } from '../../docs/examples/zeros.ts';
import { costs } from '../clock/costs.ts';
import { StateReader, StateWriter } from '../state/state.ts';
import type { CreateScanner, Scanner } from './scanner.ts';
import { defaultScanner, scanners } from './scanners.ts';
import { mixture, numbers, pageOf } from './testing/lab.ts';
import { TestMemory } from './testing/memory.ts';

/** Knobs that let each get through many pages in a short time. */
const quick: Record<string, Record<string, number>> = {
  esx: { ShareScanVM: 200_000, ShareScanTotal: 200_000 },
  zeros: { pages_per_second: 200_000 },
};
const quickLinux = { pages_to_scan: 400, sleep_millisecs: 1, use_zero_pages: 1, run: 1 };

function stateOf(scanner: Scanner): Uint8Array {
  const to = new StateWriter();
  scanner.saveState(to);
  return to.finish();
}

/** Guests that write while a scanner works; in turns of `budget` ns of CPU every ms. Checks that no page's content is lost. */
function work(create: CreateScanner, { budget = 200_000, renew = 0 } = {}) {
  const memory = new TestMemory(3000);
  let scanner = create({ memory, costs: costs(), seed: 7 });
  for (const [name, value] of Object.entries(quick[scanner.name] ?? quickLinux))
    scanner.knobs.set(name, value);
  const below = numbers(21);
  const spaces = [mixture(1), mixture(2)].map((pages) => {
    const space = memory.addSpace(pages.length);
    pages.forEach((page, i) => {
      memory.write(space, i, page);
    });
    return space;
  });
  const contents = spaces.map((space) => mixture(space.id));
  let used = 0;
  for (let step = 0; step < 200; step++) {
    memory.time = step * 1e6;
    const turn = scanner.run(memory.time, budget);
    if (turn.used > budget || turn.next <= memory.time) throw new Error('a turn is too long, or has no end');
    used += turn.used;
    const guest = below(2);
    const page = below(900);
    contents[guest]![page] = pageOf(below(20));
    memory.write(spaces[guest]!, page, contents[guest]![page]!);
    if (renew > 0 && step % renew === 0) {
      const state = stateOf(scanner);
      scanner = create({ memory, costs: costs(), seed: 7 });
      scanner.loadState(new StateReader(state));
    }
  }
  const lost = spaces.flatMap((space, guest) =>
    contents[guest]!.flatMap((page, i) =>
      Buffer.from(page).equals(memory.read(space, i)!) ? [] : [`page ${i} of guest ${guest}`],
    ),
  );
  return {
    scanner,
    state: stateOf(scanner),
    lost,
    used,
    saved: spaces.length * 929 - (3000 - memory.freeFrames),
  };
}

for (const [name, create] of Object.entries({ ...scanners, zeros: createScanner })) {
  test(`${name}: saves frames, loses nothing, and a saved state goes on`, (t) => {
    const plain = work(create);
    t.is(plain.scanner.name, name);
    t.deepEqual(plain.lost, []);
    t.true(plain.saved > 40, `${plain.saved}`);
    t.true(plain.used > 0 && plain.scanner.cpuTime >= plain.used);
    t.deepEqual(work(create, { renew: 23 }).state, plain.state);
    t.throws(() => plain.scanner.knobs.get('no_such_knob'), { message: /ENOENT/ });
  });
}

test('the default is among them', (t) => {
  t.true(defaultScanner in scanners);
});
