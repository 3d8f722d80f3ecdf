import test from 'ava';
import fc from 'fast-check';
import { Pic } from './pic.ts';
import { load, save } from './testing/state.ts';

function setUp() {
  const wire = { intr: false };
  const pic = new Pic((asserted) => {
    wire.intr = asserted;
  });
  return { pic, wire };
}

/** Initialized as a PC does: vectors 0x30 and 0x38, 8086 mode, all inputs open. */
function initialized(icw4 = 1) {
  const machine = setUp();
  const { pic } = machine;
  for (const [port, ...bytes] of [
    [0x20, 0x11],
    [0x21, 0x30, 0x04, icw4, 0x00],
    [0xa0, 0x11],
    [0xa1, 0x38, 0x02, icw4, 0x00],
  ] as const) {
    for (const byte of bytes) pic.writeByte(port, byte);
  }
  return machine;
}

const pulse = (pic: Pic, irq: number) => {
  pic.setLine(irq, true);
  return () => pic.setLine(irq, false);
};
const inService = (pic: Pic, port = 0x20) => {
  pic.writeByte(port, 0x0b);
  return pic.readByte(port);
};
const requests = (pic: Pic, port = 0x20) => {
  pic.writeByte(port, 0x0a);
  return pic.readByte(port);
};

test('a rising edge requests an interrupt, INTA takes it into service, EOI ends it', (t) => {
  const { pic, wire } = initialized();
  pulse(pic, 4);
  t.true(wire.intr);
  t.is(requests(pic), 0x10);
  t.is(pic.nextVector, 0x34);
  t.is(pic.acknowledge(), 0x34);
  t.false(wire.intr);
  t.is(requests(pic), 0);
  t.is(inService(pic), 0x10);
  pic.writeByte(0x20, 0x20);
  t.is(inService(pic), 0);
  t.false(wire.intr, 'the line is still high, which is no new edge');
});

test('an edge withdrawn before INTA is answered with the default vector of input 7, not in service', (t) => {
  const { pic, wire } = initialized();
  pulse(pic, 4)();
  t.false(wire.intr);
  t.is(pic.acknowledge(), 0x37);
  t.is(inService(pic), 0);
});

test('the second controller comes through input 2, with a vector and a service bit in both', (t) => {
  const { pic, wire } = initialized();
  pulse(pic, 12);
  t.true(wire.intr);
  t.is(pic.nextVector, 0x3c);
  t.is(pic.acknowledge(), 0x3c);
  t.is(inService(pic), 0x04);
  t.is(inService(pic, 0xa0), 0x10);
  pic.writeByte(0xa0, 0x20);
  pic.writeByte(0x20, 0x62);
  t.is(inService(pic), 0);
});

test('a request of the second controller behind one in service is an edge for the first after the EOI', (t) => {
  const { pic, wire } = initialized();
  pulse(pic, 8);
  pulse(pic, 10);
  t.is(pic.acknowledge(), 0x38);
  pic.writeByte(0xa0, 0x20);
  pic.writeByte(0x20, 0x20);
  t.true(wire.intr);
  t.is(pic.acknowledge(), 0x3a);
});

test('lower inputs go first, and only a higher one interrupts a service', (t) => {
  const { pic, wire } = initialized();
  pulse(pic, 5);
  pulse(pic, 3);
  t.is(pic.acknowledge(), 0x33);
  t.false(wire.intr);
  pulse(pic, 1);
  t.true(wire.intr);
  t.is(pic.acknowledge(), 0x31);
  pic.writeByte(0x20, 0x20);
  t.is(inService(pic), 0x08, 'the non-specific EOI ended the higher one');
});

test('a masked input waits', (t) => {
  const { pic, wire } = initialized();
  pic.writeByte(0x21, 0x10);
  t.is(pic.readByte(0x21), 0x10);
  pulse(pic, 4);
  t.false(wire.intr);
  pic.writeByte(0x21, 0);
  t.true(wire.intr);
});

test('a level-triggered input requests as long as it is high', (t) => {
  const { pic, wire } = initialized();
  pic.writeByte(0x4d1, 0xff);
  pic.writeByte(0x4d0, 0xff);
  t.is(pic.readByte(0x4d0), 0xf8);
  t.is(pic.readByte(0x4d1), 0xde);
  const release = pulse(pic, 10);
  t.is(pic.acknowledge(), 0x3a);
  pic.writeByte(0xa0, 0x20);
  pic.writeByte(0x20, 0x20);
  t.true(wire.intr);
  release();
  t.false(wire.intr);
});

test('automatic EOI leaves nothing in service, and the next request follows at once', (t) => {
  const { pic, wire } = initialized(3);
  pulse(pic, 9);
  pulse(pic, 11);
  t.is(pic.acknowledge(), 0x39);
  t.is(inService(pic, 0xa0), 0);
  t.true(wire.intr);
  t.is(pic.acknowledge(), 0x3b);
});

test('rotation makes the input just served the lowest', (t) => {
  const { pic } = initialized();
  pulse(pic, 3);
  t.is(pic.acknowledge(), 0x33);
  pic.writeByte(0x20, 0xa0);
  pulse(pic, 1);
  pulse(pic, 4);
  t.is(pic.acknowledge(), 0x34);
  pic.writeByte(0x20, 0xe4);
  t.is(pic.acknowledge(), 0x31);
});

test('rotation in automatic EOI and set priority', (t) => {
  const { pic } = initialized(3);
  pic.writeByte(0x20, 0x80);
  pulse(pic, 3);
  t.is(pic.acknowledge(), 0x33);
  pulse(pic, 1);
  pulse(pic, 4);
  t.is(pic.acknowledge(), 0x34);
  pic.writeByte(0x20, 0xc7);
  pulse(pic, 5);
  t.is(pic.acknowledge(), 0x31);
});

test('special mask mode lets lower inputs interrupt a masked service, which a non-specific EOI passes over', (t) => {
  const { pic, wire } = initialized();
  pulse(pic, 1);
  pic.acknowledge();
  pulse(pic, 6);
  t.false(wire.intr);
  pic.writeByte(0x21, 0x02);
  pic.writeByte(0x20, 0x68);
  t.true(wire.intr);
  t.is(pic.acknowledge(), 0x36);
  pic.writeByte(0x20, 0x20);
  t.is(inService(pic), 0x02);
});

test('special fully nested mode lets the second controller interrupt its own service', (t) => {
  const { pic, wire } = initialized(0x11);
  pulse(pic, 12);
  pic.acknowledge();
  pulse(pic, 9);
  t.true(wire.intr);
  t.is(pic.acknowledge(), 0x39);
});

test('poll mode is an INTA by reading', (t) => {
  const { pic, wire } = initialized();
  pulse(pic, 5);
  pic.writeByte(0x20, 0x0c);
  t.is(pic.readByte(0x20), 0x85);
  t.false(wire.intr);
  t.is(inService(pic), 0x20);
  pic.writeByte(0x20, 0x0c);
  t.is(pic.readByte(0x21), 0);
});

test('initialization opens the mask, forgets edges and starts the sequence anew', (t) => {
  const { pic, wire } = initialized();
  pic.writeByte(0x21, 0xf0);
  pulse(pic, 1);
  pic.writeByte(0x20, 0x12);
  pic.writeByte(0x21, 0x40);
  t.is(pic.readByte(0x21), 0, 'neither ICW3 nor ICW4 was expected');
  t.false(wire.intr);
  pulse(pic, 0);
  t.is(pic.acknowledge(), 0x40);
});

test('IRQ 2 has no wire', (t) => {
  const { pic, wire } = initialized();
  pic.setLine(2, true);
  t.false(wire.intr);
});

const step = fc.oneof(
  fc.record({ kind: fc.constant('line' as const), a: fc.nat(15), b: fc.nat(1) }),
  fc.record({
    kind: fc.constant('write' as const),
    a: fc.constantFrom(0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1),
    b: fc.nat(255),
  }),
  fc.record({
    kind: fc.constant('read' as const),
    a: fc.constantFrom(0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1),
    b: fc.constant(0),
  }),
  fc.record({ kind: fc.constant('inta' as const), a: fc.constant(0), b: fc.constant(0) }),
);

test('any accesses give bytes, INTR tells whether there is a request, and a loaded state goes on equally', (t) => {
  const run = (pic: Pic, { kind, a, b }: { kind: string; a: number; b: number }): number => {
    if (kind === 'line') pic.setLine(a, b === 1);
    else if (kind === 'write') pic.writeByte(a, b);
    else if (kind === 'read') return pic.readByte(a);
    else {
      const next = pic.nextVector;
      if (pic.acknowledge() !== next) throw new Error('not the vector that was announced');
      return next;
    }
    return 0;
  };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.nat(80), (steps, middle) => {
      const one = initialized();
      const two = setUp();
      steps.forEach((each, index) => {
        if (index === middle) load(two.pic, save(one.pic));
        const value = run(one.pic, each);
        if (!(value >= 0 && value <= 255)) throw new Error(`value ${value}`);
        if (index >= middle) {
          if (run(two.pic, each) !== value || one.wire.intr !== two.wire.intr) throw new Error('differs');
        }
      });
      return steps.length <= middle || Buffer.compare(save(one.pic), save(two.pic)) === 0;
    }),
    { seed: 3, numRuns: 500 },
  );
  t.pass();
});
