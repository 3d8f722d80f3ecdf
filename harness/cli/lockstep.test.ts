/** Debian's kernel in both tiers, step by step. */
import { readFile } from 'node:fs/promises';
import test from 'ava';
import type { Guest as MachineGuest } from '../../hypervisor/guest.ts';
import { Host } from '../../hypervisor/host.ts';
import { Lockstep } from '../../hypervisor/lockstep.ts';
import { type TranslationOptions, usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';
import { createGuest, type Guest } from './machine.ts';

/** Nearly everything is translated, as soon as it has been executed. */
const eager: TranslationOptions = { ...usualTranslation, hotAfter: 10, cold: 1, busyAfter: 20, patience: 0 };
const step = 10_000_000;

async function kernelAndInitrd() {
  const { kernel, initrd } = await resolveImage('debian-busybox');
  return {
    kernel: await readFile(kernel),
    initrd: await readFile(initrd),
    commandLine: 'console=ttyS0 panic=-1',
  };
}

async function make(translate: TranslationOptions, cpus: number): Promise<Guest> {
  return createGuest({
    memoryBytes: 256 << 20,
    balloonBytes: 0,
    cpus,
    seed: 3,
    translate,
    lockstep: true,
    ...(await kernelAndInitrd()),
    disks: [],
    ports: [],
  });
}

test.serial("the first two hundred million instructions of Debian's kernel", async (t) => {
  const guest = await make(eager, 1);
  // The first hundred million are a decompressor.
  while (guest.instructions < 220e6) t.is(guest.step(step).reason, 'time');
  t.true(guest.translatedInstructions > 0.9 * guest.instructions);
});

test.serial('two CPUs, with regions of five instructions that are evicted all the time', async (t) => {
  const guest = await make({ ...eager, largestRegion: 5, mostBytes: 20_000 }, 2);
  while (guest.instructions < 20e6) t.is(guest.step(step).reason, 'time');
  t.true(guest.counters.translator.evictedModules > 10);
});

test.serial('a difference is told: when it was found, where the CPU was, and what it is', async (t) => {
  const files = await kernelAndInitrd();
  const [translating, interpreting] = [eager, false as const].map((translate) => {
    const host = new Host({ memory: 160 << 20, translate });
    const guest = host.addGuest({
      memory: 128 << 20,
      cpus: 1,
      seed: 0,
      epoch: 1_767_225_600,
      serialOutput: () => {},
      ports: [{ onOutput: () => {} }],
      disks: [],
      balloonFeatures: [],
    });
    guest.boot(files);
    return host;
  }) as [Host, Host];
  const lockstep = new Lockstep(translating, interpreting);
  lockstep.run(1_000_000);
  lockstep.compareMemory();

  const guest = translating.guests[0] as MachineGuest;
  const page = 0x1000;
  guest.space.memory.u8[guest.space.frameOf(page) + 5]! ^= 0xff;
  const memory = t.throws(() => lockstep.compareMemory(), { name: 'LockstepDifference' })!;
  t.regex(memory.message, /guest 0 .* memory at guest-physical 0x1000005: ([0-9a-f]{2})/s);

  guest.cpus[0]!.vcpu.setGpr(15, guest.cpus[0]!.vcpu.gpr(15) ^ 1n);
  const cpu = t.throws(() => lockstep.run(2_000_000), { name: 'LockstepDifference' })!;
  t.regex(cpu.message, /in guest 0 between virtual time 1000000 ns and \d+ ns:/);
  t.regex(cpu.message, /CPU 0: .*gpr\[15\] [0-9a-f]{16} \/ [0-9a-f]{16}/);
  t.regex(cpu.message, /CPU 0 stood at RIP 0x[0-9a-f]+, code [0-9a-f]{2}/);
});
