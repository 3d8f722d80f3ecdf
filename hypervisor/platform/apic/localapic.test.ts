import test from 'ava';
import type { LocalApic } from './localapic.ts';
import { BROADCAST } from './network.ts';
import { DELIVERY, ESR, LVT, REGISTER } from './registers.ts';
import { apicMachine, enable } from './testing.ts';

const FIXED = DELIVERY.fixed;
const one = () => {
  const machine = apicMachine(1);
  return { ...machine, apic: enable(machine.apics[0]!), cpu: machine.cpus[0]! };
};
/** Vectors in one of the 256-bit registers. */
const vectors = (apic: LocalApic, register: number): number[] =>
  Array.from({ length: 256 }, (_, vector) => vector).filter(
    (vector) => (apic.readRegister(register + (vector >> 5))! >>> (vector & 31)) & 1,
  );

test('after reset the registers have the values of the manual', (t) => {
  const apic = apicMachine(6).apics[5]!;
  t.is(apic.readRegister(REGISTER.id), 5 * 2 ** 24);
  t.is(apic.readRegister(REGISTER.version), 0x0105_0014);
  t.is(apic.readRegister(REGISTER.spurious), 0xff);
  t.is(apic.readRegister(REGISTER.destinationFormat), 0xffff_ffff);
  for (let register = REGISTER.lvtTimer; register <= REGISTER.lvtError; register++) {
    t.is(apic.readRegister(register), LVT.masked);
  }
  for (const register of [
    REGISTER.taskPriority,
    REGISTER.logicalDestination,
    REGISTER.icrLow,
    REGISTER.icrHigh,
  ]) {
    t.is(apic.readRegister(register), 0);
  }
});

test('a fixed interrupt goes through IRR and ISR and ends by EOI; pending changes at the very call', (t) => {
  const { apic, cpu } = one();
  t.true(apic.accept(FIXED, 0x41, false));
  t.deepEqual(vectors(apic, REGISTER.interruptRequest), [0x41]);
  t.is(apic.pendingVector(), 0x41);
  t.is(apic.acknowledge(), 0x41);
  t.deepEqual(vectors(apic, REGISTER.interruptRequest), []);
  t.deepEqual(vectors(apic, REGISTER.inService), [0x41]);
  apic.writeRegister(REGISTER.eoi, 0);
  t.deepEqual(vectors(apic, REGISTER.inService), []);
  t.deepEqual(cpu.events, ['pending', 'idle']);
});

test('only a higher priority class interrupts a service; EOI ends the highest', (t) => {
  const { apic } = one();
  apic.accept(FIXED, 0x41, false);
  t.is(apic.acknowledge(), 0x41);
  apic.accept(FIXED, 0x4f, false);
  t.is(apic.pendingVector(), -1);
  apic.accept(FIXED, 0x52, false);
  t.is(apic.acknowledge(), 0x52);
  t.is(apic.readRegister(REGISTER.processorPriority), 0x50);
  apic.writeRegister(REGISTER.eoi, 0);
  t.is(apic.readRegister(REGISTER.processorPriority), 0x40);
  t.is(apic.pendingVector(), -1);
  apic.writeRegister(REGISTER.eoi, 0);
  t.is(apic.pendingVector(), 0x4f);
});

test('the task priority holds back its class and those below; CR8 is its upper half', (t) => {
  const { apic, cpu } = one();
  apic.cr8 = 4;
  t.is(apic.readRegister(REGISTER.taskPriority), 0x40);
  t.is(apic.readRegister(REGISTER.processorPriority), 0x40);
  apic.accept(FIXED, 0x4f, false);
  t.false(cpu.pending);
  apic.writeRegister(REGISTER.taskPriority, 0x3f);
  t.is(apic.cr8, 3);
  t.true(cpu.pending);
  apic.cr8 = 15;
  t.false(cpu.pending);
});

test('task priority and service of one class: the processor priority is the task priority', (t) => {
  const { apic } = one();
  apic.accept(FIXED, 0x47, false);
  apic.acknowledge();
  t.is(apic.readRegister(REGISTER.processorPriority), 0x40);
  apic.writeRegister(REGISTER.taskPriority, 0x42);
  t.is(apic.readRegister(REGISTER.processorPriority), 0x42);
});

test('TMR shows how each vector was last accepted', (t) => {
  const { apic } = one();
  apic.accept(FIXED, 0x41, true);
  t.deepEqual(vectors(apic, REGISTER.triggerMode), [0x41]);
  apic.accept(FIXED, 0x41, false);
  t.deepEqual(vectors(apic, REGISTER.triggerMode), []);
});

test('with nothing to deliver, an acknowledgement gets the spurious vector and no service bit', (t) => {
  const { apic } = one();
  t.is(apic.acknowledge(), 0xff);
  t.deepEqual(vectors(apic, REGISTER.inService), []);
});

test('the EOI of a level-triggered interrupt is broadcast, unless that is suppressed', (t) => {
  const { apic, network } = one();
  const ended: number[] = [];
  network.onEndOfInterrupt((vector) => ended.push(vector));
  const serve = (vector: number, level: boolean) => {
    apic.accept(FIXED, vector, level);
    apic.acknowledge();
    apic.writeRegister(REGISTER.eoi, 0);
  };
  serve(0x41, true);
  serve(0x42, false);
  apic.writeRegister(REGISTER.spurious, 0x11ff);
  serve(0x43, true);
  t.deepEqual(ended, [0x41]);
});

test('disabled by software, it refuses fixed interrupts, masks its table, and still takes NMI, INIT and SIPI', (t) => {
  const { apic, cpu } = one();
  apic.writeRegister(REGISTER.lvtError, 0x50);
  apic.accept(FIXED, 0x60, false);
  apic.writeRegister(REGISTER.spurious, 0xff);
  t.is(apic.readRegister(REGISTER.lvtError), LVT.masked | 0x50);
  apic.writeRegister(REGISTER.lvtError, 0x50);
  t.is(apic.readRegister(REGISTER.lvtError), LVT.masked | 0x50, 'the mask cannot be removed');
  t.false(apic.accept(FIXED, 0x61, false));
  t.is(apic.pendingVector(), 0x60, 'what was accepted before stays');
  apic.accept(DELIVERY.nmi, 0, false);
  apic.accept(DELIVERY.init, 0, false);
  apic.accept(DELIVERY.startup, 0x9a, false);
  t.deepEqual(cpu.events, ['pending', 'nmi', 'idle', 'init', 'startup 0x9a']);
});

test('INIT resets the registers but not the ID', (t) => {
  const { apic } = one();
  apic.accept(FIXED, 0x60, false);
  apic.writeRegister(REGISTER.logicalDestination, 0x1200_0000);
  apic.accept(DELIVERY.init, 0, false);
  t.is(apic.readRegister(REGISTER.spurious), 0xff);
  t.is(apic.readRegister(REGISTER.logicalDestination), 0);
  t.is(apic.pendingVector(), -1);
});

test('LINT0 as ExtINT brings the interrupts of the 8259As, which go first', (t) => {
  const { apic, cpu, external } = one();
  apic.setLint0(true);
  t.false(cpu.pending);
  apic.writeRegister(REGISTER.lvtLint0, 0x700);
  t.true(cpu.pending);
  apic.accept(FIXED, 0x80, false);
  t.is(apic.pendingVector(), 0x30);
  t.is(apic.acknowledge(), 0x30);
  t.is(external.acknowledged, 1);
  apic.setLint0(false);
  t.is(apic.acknowledge(), 0x80);
  t.deepEqual(vectors(apic, REGISTER.inService), [0x80], 'ExtINT has no service bit');
});

test('LINT1 as NMI raises one on each rising edge', (t) => {
  const { apic, cpu } = one();
  apic.setLint1(true);
  apic.writeRegister(REGISTER.lvtLint1, 0x400);
  apic.setLint1(false);
  apic.setLint1(true);
  apic.setLint1(true);
  t.deepEqual(cpu.events, ['nmi']);
});

test('a level-triggered pin with a fixed vector is accepted again after EOI while it is asserted', (t) => {
  const { apic } = one();
  apic.writeRegister(REGISTER.lvtLint0, 0x8045);
  apic.setLint0(true);
  t.is(apic.acknowledge(), 0x45);
  t.is(apic.readRegister(REGISTER.lvtLint0), 0xc045);
  t.is(apic.pendingVector(), -1);
  apic.writeRegister(REGISTER.eoi, 0);
  t.is(apic.acknowledge(), 0x45);
  apic.setLint0(false);
  apic.writeRegister(REGISTER.eoi, 0);
  t.is(apic.readRegister(REGISTER.lvtLint0), 0x8045);
  t.is(apic.pendingVector(), -1);
});

test('an edge-triggered pin with a fixed vector requests at each rising edge', (t) => {
  const { apic } = one();
  apic.writeRegister(REGISTER.lvtLint1, 0x46);
  apic.setLint1(true);
  t.is(apic.acknowledge(), 0x46);
  apic.writeRegister(REGISTER.eoi, 0);
  t.is(apic.pendingVector(), -1);
});

test('illegal vectors are errors, shown after a write of ESR and reported by the error vector', (t) => {
  const { apic } = one();
  apic.writeRegister(REGISTER.lvtError, 0xfe);
  apic.accept(FIXED, 15, false);
  t.is(apic.readRegister(REGISTER.errorStatus), 0);
  t.is(apic.acknowledge(), 0xfe);
  apic.writeRegister(REGISTER.eoi, 0);
  apic.writeRegister(REGISTER.icrLow, 3);
  apic.writeRegister(REGISTER.errorStatus, 0);
  t.is(apic.readRegister(REGISTER.errorStatus), ESR.receivedIllegalVector | ESR.sendIllegalVector);
  apic.writeRegister(REGISTER.errorStatus, 0);
  t.is(apic.readRegister(REGISTER.errorStatus), 0);
});

test('an error vector that is itself illegal does not recurse', (t) => {
  const { apic } = one();
  apic.writeRegister(REGISTER.lvtError, 3);
  apic.accept(FIXED, 2, false);
  t.deepEqual(vectors(apic, REGISTER.interruptRequest), []);
});

// Interprocessor interrupts

const four = () => {
  const machine = apicMachine(4);
  machine.apics.forEach(enable);
  const ipi = (from: number, low: number, destination = 0) => {
    machine.apics[from]!.writeRegister(REGISTER.icrHigh, destination * 2 ** 24);
    machine.apics[from]!.writeRegister(REGISTER.icrLow, low);
  };
  const received = (vector: number) =>
    machine.apics.flatMap((apic, id) =>
      vectors(apic, REGISTER.interruptRequest).includes(vector) ? [id] : [],
    );
  return { ...machine, ipi, received };
};

test('an IPI goes to a physical destination, to all by 0xFF, or where the shorthand says', (t) => {
  const { ipi, received } = four();
  ipi(0, 0x40, 2);
  t.deepEqual(received(0x40), [2]);
  ipi(0, 0x41, 0xff);
  t.deepEqual(received(0x41), [0, 1, 2, 3]);
  ipi(1, 0x4_0042);
  t.deepEqual(received(0x42), [1]);
  ipi(1, 0x8_0043);
  t.deepEqual(received(0x43), [0, 1, 2, 3]);
  ipi(1, 0xc_0044);
  t.deepEqual(received(0x44), [0, 2, 3]);
  ipi(1, 0x45, 9);
  t.deepEqual(received(0x45), []);
});

test('a logical destination in the flat model is a set of bits', (t) => {
  const { apics, ipi, received } = four();
  apics.forEach((apic, id) => {
    apic.writeRegister(REGISTER.logicalDestination, (1 << id) * 2 ** 24);
  });
  ipi(0, 0x840, 0b1010);
  t.deepEqual(received(0x40), [1, 3]);
});

test('a destination of more than eight bits is for no local APIC in xAPIC mode', (t) => {
  const { apics, network } = four();
  apics[0]!.writeRegister(REGISTER.logicalDestination, 0x0100_0000);
  t.false(network.send(0x101, true, FIXED, 0x40, false));
  t.false(network.send(0x100, false, FIXED, 0x40, false));
});

test('a logical destination in the cluster model is a cluster and a set of its four', (t) => {
  const { apics, ipi, received } = four();
  apics.forEach((apic, id) => {
    apic.writeRegister(REGISTER.destinationFormat, 0x0fff_ffff);
    apic.writeRegister(REGISTER.logicalDestination, (((id >> 1) << 4) | (1 << (id & 1))) * 2 ** 24);
  });
  ipi(0, 0x840, 0x13);
  t.deepEqual(received(0x40), [2, 3]);
  ipi(0, 0x841, 0x02);
  t.deepEqual(received(0x41), [1]);
  ipi(0, 0x842, 0xff);
  t.deepEqual(received(0x42), [0, 1, 2, 3]);
});

test('lowest priority goes to one CPU: the one of lowest processor priority that is enabled', (t) => {
  const { apics, ipi, received } = four();
  apics[0]!.cr8 = 3;
  apics[1]!.cr8 = 2;
  apics[2]!.cr8 = 2;
  apics[3]!.writeRegister(REGISTER.spurious, 0xff);
  ipi(0, 0x8_0140);
  t.deepEqual(received(0x40), [1]);
});

test('NMI, INIT and start-up IPIs reach the CPU; the INIT deassertion of old processors does nothing', (t) => {
  const { cpus, ipi } = four();
  ipi(0, 0x400, 1);
  ipi(0, 0xc_4500);
  ipi(0, 0xc_8500);
  ipi(0, 0x4608, 2);
  t.deepEqual(
    cpus.map((cpu) => cpu.events),
    [[], ['nmi', 'init'], ['init', 'startup 0x8'], ['init']],
  );
});

test('the ICR keeps what was written, without the read-only bits', (t) => {
  const { apics } = four();
  apics[0]!.writeRegister(REGISTER.icrHigh, 0xffff_ffff);
  t.is(apics[0]!.readRegister(REGISTER.icrHigh), 0xff00_0000);
  apics[0]!.writeRegister(REGISTER.icrLow, 0xffff_f0ff);
  t.is(apics[0]!.readRegister(REGISTER.icrLow), 0xc_c0ff);
});

test('a message-signalled interrupt is what its address and data say', (t) => {
  const { network, apics, received } = four();
  network.message(0xfee0_2000, 0x40);
  t.deepEqual(received(0x40), [2]);
  network.message(0xfeef_f000, 0x41);
  t.deepEqual(received(0x41), [0, 1, 2, 3]);
  apics[1]!.writeRegister(REGISTER.logicalDestination, 0x0400_0000);
  network.message(0xfee0_c00c, 0x0142);
  t.deepEqual(received(0x42), [1]);
  network.message(0xfee0_0000, 0xc043);
  t.deepEqual(vectors(apics[0]!, REGISTER.triggerMode), [0x43]);
  network.message(0xfee0_0000, 0x8044);
  network.message(0xfed0_0000, 0x44);
  network.message(0x10, 0x44);
  t.deepEqual(received(0x44), []);
});

test('a broadcast that nobody takes is not accepted', (t) => {
  const { network, apics } = four();
  t.true(network.send(BROADCAST, false, FIXED, 0x40, false));
  for (const apic of apics) apic.writeRegister(REGISTER.spurious, 0xff);
  t.false(network.send(BROADCAST, false, FIXED, 0x40, false));
  t.false(network.send(BROADCAST, false, DELIVERY.lowestPriority, 0x40, false));
  t.false(network.send(BROADCAST, false, DELIVERY.smi, 0, false));
});
