import test from 'ava';
import { Port92 } from './reset.ts';
import { load, save } from './testing/state.ts';

test('port 0x92 shows A20 open always, and a rise of bit 0 resets the processors', (t) => {
  const resets: string[] = [];
  const port = new Port92((kind) => resets.push(kind));
  t.is(port.readByte(0x92), 2);
  port.writeByte(0x92, 0xfc);
  t.is(port.readByte(0x92), 2);
  t.deepEqual(resets, []);
  port.writeByte(0x92, 1);
  port.writeByte(0x92, 3);
  t.deepEqual(resets, ['soft']);
  const other = new Port92(() => resets.push('again'));
  load(other, save(port));
  other.writeByte(0x92, 1);
  t.is(other.readByte(0x92), 3);
  t.deepEqual(resets, ['soft']);
});
