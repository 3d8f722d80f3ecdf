import test from 'ava';
import { StateReader, StateWriter } from './state.ts';

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
    to.bytes(new Uint8Array(4096 - 4));
    write(to);
    write(to);
    const from = new StateReader(to.finish());
    from.bytes();
    t.is(read(from), value);
    t.is(read(from), value);
    t.true(from.done);
  }
});
