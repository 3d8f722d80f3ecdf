import test from 'ava';
import fc from 'fast-check';
import { load, save } from './testing/state.ts';
import { Uart } from './uart.ts';

const COM1 = 0x3f8;
const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const FCR = IIR;

function setUp() {
  const machine = { asserted: false, sent: [] as number[] };
  const uart = new Uart(
    (asserted) => {
      machine.asserted = asserted;
    },
    (byte) => machine.sent.push(byte),
  );
  return {
    uart,
    machine,
    get: (register: number) => uart.readByte(COM1 + register),
    put: (register: number, value: number) => uart.writeByte(COM1 + register, value),
    type: (...bytes: number[]) => uart.receive(Uint8Array.from(bytes)),
  };
}

/** 8 bits, interrupt line open, FIFOs on with trigger level 4. */
function open() {
  const machine = setUp();
  machine.put(LCR, 3);
  machine.put(MCR, 0x0b);
  machine.put(FCR, 0x41);
  return machine;
}

test('after reset it is idle, with the far end ready', (t) => {
  const { get, machine } = setUp();
  t.is(get(IER), 0);
  t.is(get(IIR), 0x01);
  t.is(get(LCR), 0);
  t.is(get(MCR), 0);
  t.is(get(LSR), 0x60);
  t.is(get(MSR), 0xb0);
  t.false(machine.asserted);
});

test('a byte written is sent at once, cut to the word length', (t) => {
  const { put, machine } = setUp();
  put(LCR, 3);
  put(DATA, 0xe5);
  put(LCR, 0);
  put(DATA, 0xe5);
  t.deepEqual(machine.sent, [0xe5, 0x05]);
});

test('the divisor latch is behind DLAB and sends nothing', (t) => {
  const { get, put, machine } = setUp();
  put(LCR, 0x83);
  put(DATA, 0x34);
  put(IER, 0x12);
  t.is(get(DATA), 0x34);
  t.is(get(IER), 0x12);
  put(LCR, 3);
  t.is(get(IER), 0);
  t.deepEqual(machine.sent, []);
});

test('the scratch register keeps a byte, and IER and MCR keep only the bits they have', (t) => {
  const { get, put } = setUp();
  put(SCR, 0xa5);
  t.is(get(SCR), 0xa5);
  put(IER, 0xff);
  t.is(get(IER), 0x0f);
  put(MCR, 0xff);
  t.is(get(MCR), 0x1f);
});

test('without FIFOs one byte is received at a time and none is lost', (t) => {
  const { get, type } = setUp();
  type(1, 2, 3);
  for (const byte of [1, 2, 3]) {
    t.is(get(LSR) & 1, 1);
    t.is(get(DATA), byte);
  }
  t.is(get(LSR) & 1, 0);
});

test('IIR tells a filled FIFO from one below its trigger level, and reports the FIFOs', (t) => {
  const { get, put, type, machine } = open();
  t.is(get(IIR), 0xc1);
  put(IER, 1);
  type(1, 2, 3);
  t.true(machine.asserted);
  t.is(get(IIR), 0xcc);
  type(4);
  t.is(get(IIR), 0xc4);
  for (let i = 0; i < 4; i++) get(DATA);
  t.is(get(IIR), 0xc1);
  t.false(machine.asserted);
});

test('the FIFO holds 16 bytes; what is behind it waits on the wire when the FIFO is cleared', (t) => {
  const { get, put, type } = open();
  type(...Array.from({ length: 20 }, (_, i) => i));
  put(FCR, 0x43);
  t.deepEqual(
    Array.from({ length: 4 }, () => get(DATA)),
    [16, 17, 18, 19],
  );
  t.is(get(LSR) & 1, 0);
});

test('the transmitter interrupt comes on enabling and after each byte, and reading IIR clears it', (t) => {
  const { get, put, machine } = open();
  put(IER, 2);
  t.true(machine.asserted);
  t.is(get(IIR), 0xc2);
  t.false(machine.asserted);
  t.is(get(IIR), 0xc1);
  put(DATA, 65);
  t.true(machine.asserted);
  t.is(get(IIR), 0xc2);
  put(IER, 0);
  put(IER, 2);
  t.is(get(IIR), 0xc2);
});

test('received data goes before the transmitter, and a read of IIR that reports it leaves the latter pending', (t) => {
  const { get, put, type } = open();
  put(IER, 3);
  type(1);
  t.is(get(IIR), 0xcc);
  get(DATA);
  t.is(get(IIR), 0xc2);
});

test('OUT2 gates the interrupt line', (t) => {
  const { put, machine } = open();
  put(IER, 2);
  put(MCR, 3);
  t.false(machine.asserted);
  put(MCR, 0x0b);
  t.true(machine.asserted);
});

test('in loopback, the outputs are the modem inputs and what is sent is received', (t) => {
  const { get, put, type, machine } = open();
  get(MSR);
  put(MCR, 0x1a);
  t.is(get(MSR) & 0xf0, 0x90);
  put(DATA, 0x5a);
  type(7);
  t.is(get(DATA), 0x5a);
  t.is(get(LSR) & 1, 0);
  t.deepEqual(machine.sent, []);
  put(MCR, 0x0b);
  t.is(get(DATA), 7);
});

test('MSR reports changes once; RI only when it ends', (t) => {
  const { get, put } = open();
  put(MCR, 0x14);
  t.is(get(MSR), 0x40 | 0x0b);
  t.is(get(MSR), 0x40);
  put(MCR, 0x10);
  t.is(get(MSR), 0x04);
});

test('a modem status change interrupts until MSR is read', (t) => {
  const { get, put } = open();
  put(IER, 8);
  put(MCR, 0x10);
  put(MCR, 0x0b);
  t.is(get(IIR), 0xc0);
  get(MSR);
  t.is(get(IIR), 0xc1);
});

test('a full receiver in loopback overruns, with the highest interrupt, until LSR is read', (t) => {
  const { get, put } = open();
  put(IER, 0x0f);
  put(MCR, 0x10);
  get(MSR);
  for (let i = 0; i <= 16; i++) put(DATA, i);
  t.is(get(IIR), 0xc6);
  t.is(get(LSR), 0x63);
  t.is(get(IIR), 0xc4);
  t.is(get(LSR), 0x61);
});

const access = fc.record({
  register: fc.nat(7),
  write: fc.boolean(),
  value: fc.nat(255),
  typed: fc.uint8Array({ maxLength: 20 }),
});

test('any accesses give byte values, and a state loaded in their middle goes on equally', (t) => {
  fc.assert(
    fc.property(fc.array(access, { maxLength: 60 }), fc.nat(60), (accesses, middle) => {
      const { uart } = setUp();
      const other = setUp();
      const run = (one: typeof uart, { register, write, value, typed }: (typeof accesses)[number]) => {
        if (typed.length > 10) one.receive(typed);
        if (write) one.writeByte(COM1 + register, value);
        else return one.readByte(COM1 + register);
        return 0;
      };
      accesses.forEach((each, index) => {
        if (index === middle) load(other.uart, save(uart));
        const value = run(uart, each);
        if (!(value >= 0 && value <= 0xff)) throw new Error(`read ${value}`);
        if (index >= middle && run(other.uart, each) !== value) throw new Error('differs');
      });
      return accesses.length <= middle || Buffer.compare(save(uart), save(other.uart)) === 0;
    }),
    { seed: 2, numRuns: 300 },
  );
  t.pass();
});
