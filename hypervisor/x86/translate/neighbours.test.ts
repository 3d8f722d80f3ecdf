/** Which code pages the TLB knows around a place. */
import test from 'ava';
import * as exits from '../exits.ts';
import { codeAt, FlatMachine } from '../isa/flatmachine.ts';
import * as layout from '../layout.ts';
import * as tlb from '../tlb.ts';
import { neighbour, placeOf } from './neighbours.ts';

const pageBytes = 0x1000;

test('a page that is executed is found by its distance, and no other that has the same entry', (t) => {
  const machine = new FlatMachine(false);
  const { vcpu, engine } = machine;
  machine.reset(true);
  // JMP to the next page; HLT
  machine.write(codeAt, [0xe9, 0xfb, 0x0f, 0, 0]);
  machine.write(codeAt + pageBytes, [0xf4]);
  vcpu.set64(layout.rip, BigInt(codeAt));
  t.is(vcpu.run(0, 100), exits.halt);
  const { memory } = engine;
  const place = placeOf(memory, vcpu.base);
  t.is(place.base, codeAt + pageBytes);
  t.is(neighbour(memory, place, 0), machine.codePage(codeAt + pageBytes));
  t.is(neighbour(memory, place, -pageBytes), machine.codePage(codeAt));
  t.not(machine.codePage(codeAt), 0);
  t.is(neighbour(memory, place, pageBytes), 0);
  t.is(neighbour(memory, place, tlb.entries * pageBytes), 0);
  t.is(neighbour(memory, { ...place, base: place.base + 2 ** 32 }, 0), 0);
  // It is there, but too far away.
  t.is(neighbour(memory, { ...place, base: place.base - 2 ** 30 }, 2 ** 30), 0);
});
