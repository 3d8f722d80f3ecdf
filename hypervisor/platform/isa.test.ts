import test from 'ava';
import { eightBit } from './isa.ts';

test('a wide access reaches an eight-bit device as bytes, the lowest port first', (t) => {
  const log: number[][] = [];
  const device = eightBit({
    readByte: (port) => {
      log.push([port]);
      return 0xf0 + (port & 15);
    },
    writeByte: (port, value) => log.push([port, value]),
  });
  t.is(device.readPort(0x40, 4), 0xf3f2f1f0);
  t.is(device.readPort(0x40, 1), 0xf0);
  device.writePort(0x40, 4, 0xfedcba98);
  t.deepEqual(log, [
    [0x40],
    [0x41],
    [0x42],
    [0x43],
    [0x40],
    [0x40, 0x98],
    [0x41, 0xba],
    [0x42, 0xdc],
    [0x43, 0xfe],
  ]);
});
