import test from 'ava';
import { load, save } from './testing/state.ts';
import { InterruptWires } from './wires.ts';

test('a wire is asserted while any of its devices asserts it', (t) => {
  const changes: [number, boolean][] = [];
  const wires = new InterruptWires((wire, asserted) => changes.push([wire, asserted]));
  const a = wires.source(16);
  const b = wires.source(16);
  const other = wires.source(17);
  a(true);
  a(true);
  b(true);
  a(false);
  t.true(wires.asserted(16));
  b(false);
  t.false(wires.asserted(16));
  other(false);
  t.deepEqual(changes, [
    [16, true],
    [16, false],
  ]);
});

test('32 devices share a wire, one more does not; nor is there a wire 24', (t) => {
  const wires = new InterruptWires(() => {});
  const last = Array.from({ length: 32 }, () => wires.source(23)).at(-1)!;
  last(true);
  t.true(wires.asserted(23));
  t.throws(() => wires.source(23), { instanceOf: RangeError });
  t.throws(() => wires.source(24), { instanceOf: RangeError });
});

test('a loaded state knows who asserts', (t) => {
  const make = () => {
    const wires = new InterruptWires(() => {});
    return { wires, a: wires.source(5), b: wires.source(5) };
  };
  const one = make();
  one.a(true);
  one.b(true);
  const two = make();
  load(two.wires, save(one.wires));
  two.a(false);
  t.true(two.wires.asserted(5));
  two.b(false);
  t.false(two.wires.asserted(5));
});
