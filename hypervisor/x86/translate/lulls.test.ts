/** Code that is executed now and then is translated when a guest comes to nothing new. */
import test from 'ava';
import * as exits from '../exits.ts';
import { codeAt, FlatMachine } from '../isa/flatmachine.ts';
import * as layout from '../layout.ts';
import { usualTranslation } from './options.ts';

/** Longer than what is looked at as a whole. */
const span = 60_000_000;

/** A machine with a loop that never ends, a turn of which takes about `turn` instructions: MOV ECX, n; L: DEC ECX; JNZ L; INC EBX; JMP to its start. */
function looping(turn: number): FlatMachine {
  const machine = new FlatMachine(usualTranslation);
  machine.reset(true);
  const count = [0, 8, 16, 24].map((shift) => ((turn >> 1) >> shift) & 255);
  machine.write(codeAt, [0xb9, ...count, 0xff, 0xc9, 0x75, 0xfc, 0xff, 0xc3, 0xeb, 0xf3]);
  machine.vcpu.set64(layout.rip, BigInt(codeAt));
  return machine;
}

function run({ vcpu }: FlatMachine, units: number): void {
  for (let left = units; left > 0; left -= 1_000_000)
    if (vcpu.run(0, Math.min(left, 1_000_000)) !== exits.budget) throw new Error('the loop ended');
}

test('what recurs in a lull is translated, however long it takes to be hot', (t) => {
  const machine = looping(1_000_000);
  // The inner loop is hot at once, its start after a thousand turns otherwise.
  run(machine, 2 * span);
  t.is(machine.engine.counters.translator.regions, 2);
});

test('what is rare in a lull is not', (t) => {
  const machine = looping(3_000_000);
  run(machine, 3 * span);
  t.is(machine.engine.counters.translator.regions, 1);
});

test('as long as the guest comes to new code, nothing but the hot is translated', (t) => {
  const machine = looping(1_000_000);
  for (let round = 0; round < 3; round++) {
    // 1000 NOPs and a HLT, in pages of their own, are decoded; then the loop goes on.
    const { vcpu } = machine;
    const at = vcpu.get64(layout.rip);
    const ecx = vcpu.gpr(1);
    const place = codeAt + 0x2000 * (round + 1);
    machine.write(place, [...new Array(1000).fill(0x90), round, 0xf4]);
    vcpu.set64(layout.rip, BigInt(place));
    vcpu.run(0, 10_000);
    vcpu.set64(layout.rip, at);
    vcpu.setGpr(1, ecx);
    run(machine, 50_000_000);
  }
  t.is(machine.engine.counters.translator.regions, 1);
});
