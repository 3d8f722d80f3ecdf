import { createHash } from 'node:crypto';
import test from 'ava';
import { hashOf } from './hash.ts';
import { StateError, StateReader, StateWriter } from './state.ts';

test('a state that outgrows the writer keeps every value, of whatever kind is written when it grows', (t) => {
  const kinds = [
    [(to: StateWriter) => to.u8(0x12), (from: StateReader) => from.u8(), 0x12],
    [(to: StateWriter) => to.u16(0x1234), (from: StateReader) => from.u16(), 0x1234],
    [(to: StateWriter) => to.u32(0x12345678), (from: StateReader) => from.u32(), 0x12345678],
    [(to: StateWriter) => to.u64(0x123456789abcdefn), (from: StateReader) => from.u64(), 0x123456789abcdefn],
    [(to: StateWriter) => to.number(1.5), (from: StateReader) => from.number(), 1.5],
  ] as const;
  for (const [write, read, value] of kinds) {
    const to = new StateWriter();
    to.bytes(new Uint8Array(65536 - 4));
    write(to);
    write(to);
    const from = new StateReader(to.finish());
    from.bytes();
    t.is(read(from), value);
    t.is(read(from), value);
    t.true(from.done);
  }
});

/** Sections in sections, small values around the end of the writer's room, and bytes that are longer than it. */
const nested = {
  saveState(to: StateWriter) {
    to.section('outer', () => {
      to.bytes(new Uint8Array(65_520).fill(1));
      for (let i = 0; i < 9; i++) to.section(`inner ${i}`, () => to.u32(i));
      to.bytes(new Uint8Array(200_000).fill(2));
      to.string('end');
    });
  },
};

test('what is handed on in pieces is what would have been kept, and its hash the hash of that', (t) => {
  const kept = new StateWriter();
  nested.saveState(kept);
  const pieces: Uint8Array[] = [];
  const to = new StateWriter((bytes) => pieces.push(bytes.slice()));
  nested.saveState(to);
  to.flush();
  t.true(pieces.length > 2);
  const whole = Buffer.concat(pieces);
  t.true(whole.equals(kept.finish()));
  t.is(hashOf(nested), createHash('sha256').update(whole).digest('hex'));
  const from = new StateReader(whole);
  from.section('outer', () => {
    t.is(from.bytes().length, 65_520);
    for (let i = 0; i < 9; i++) from.section(`inner ${i}`, () => t.is(from.u32(), i));
    t.is(from.bytes().length, 200_000);
    t.is(from.string(), 'end');
  });
  t.true(from.done);
});

test('a section has another name, or is not read to its end: the error names it', (t) => {
  const to = new StateWriter();
  to.section('cpu', () => to.u32(7));
  const bytes = to.finish();
  t.throws(() => new StateReader(bytes).section('pic', () => {}), {
    instanceOf: StateError,
    message: "state has section 'cpu' where 'pic' was expected",
  });
  const from = new StateReader(bytes);
  t.throws(() => from.section('cpu', () => from.u16()), {
    instanceOf: StateError,
    message: "section 'cpu' does not end behind the 2 bytes that were read",
  });
});
