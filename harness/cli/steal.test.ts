/** Debian guests that share too few CPUs of their host see what is stolen from them. */

import test from 'ava';
import { Host } from '../../hypervisor/host.ts';
import { type TranslationOptions, usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { debianFiles, runToEnd, startDebian } from './testing/debian.ts';

/** Counts for a while; before and behind it, prints the guest's clock in s and its CPU's ticks of 10 ms by use. */
const script = `look() { cut -d' ' -f1 /proc/uptime; head -1 /proc/stat; }
look; i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; look`;

/** What a guest printed: the span between its two looks in s, and by use. */
function spans(output: string) {
  const lines = output.trim().split('\n');
  const ticks = [1, 3].map((line) => lines[line]!.split(/ +/).slice(1).map(Number));
  const [user, , system, idle, , , , steal] = ticks[1]!.map((after, use) => (after - ticks[0]![use]!) / 100);
  return {
    elapsed: Number(lines[2]) - Number(lines[0]),
    busy: user! + system!,
    idle: idle!,
    steal: steal!,
    stealSinceBoot: ticks[1]![7]! / 100,
  };
}

/** Boots a guest for each weight on a host with that many CPUs and lets all run the script. */
async function run(weights: readonly number[], cpus: number) {
  const host = new Host({ memory: 512 << 20, translate: usualTranslation, cpus });
  const files = await debianFiles();
  const guests = weights.map((cpuWeight, seed) => startDebian(host, files, { script, seed, cpuWeight }));
  runToEnd(host, guests, 20e9);
  return {
    host,
    guests: guests.map(({ guest, output, ended }) => ({
      guest,
      ...spans(output),
      stolen: guest.measures.stolen / 1e9,
      cpuTime: host.cpuTime(guest) / 1e9,
      end: ended! / 1e9,
    })),
  };
}

test.serial('two guests on one CPU have half of it each, and see the other half as stolen', async (t) => {
  const { host, guests } = await run([100, 100], 1);
  const sum = guests.reduce((all, { cpuTime }) => all + cpuTime, 0);
  t.true(sum <= host.time / 1e9 && sum > 0.97 * (host.time / 1e9), `${sum} s of CPU time in ${host.time} ns`);
  t.true(Math.abs(guests[0]!.cpuTime - guests[1]!.cpuTime) < 0.05);
  for (const { elapsed, busy, idle, steal, stealSinceBoot, stolen } of guests) {
    t.true(Math.abs(steal - elapsed / 2) < 0.05, `${steal} s stolen of ${elapsed} s`);
    t.true(
      Math.abs(busy + idle + steal - elapsed) < 0.05,
      `${busy} + ${idle} + ${steal} s make ${elapsed} s`,
    );
    // What was stolen before the kernel asked for it, it does not see.
    t.true(stealSinceBoot <= stolen && stealSinceBoot > 0.8 * stolen, `${stealSinceBoot} s of ${stolen} s`);
  }
});

test.serial('a guest of three times the weight has three times as much', async (t) => {
  const { guests } = await run([100, 300], 1);
  const [light, heavy] = guests as [(typeof guests)[0], (typeof guests)[0]];
  t.true(Math.abs(heavy.steal - heavy.elapsed / 4) < 0.05, `${heavy.steal} s stolen of ${heavy.elapsed} s`);
  t.true(heavy.end < light.end);
  t.true(light.stolen > 2 * heavy.stolen);
});

test.serial('shares of CPUs are the same in every run, translated or not', async (t) => {
  const files = await debianFiles();
  const hash = (translate: false | TranslationOptions) => {
    const host = new Host({ memory: 512 << 20, translate, cpus: 2 });
    for (const [seed, cpus] of [1, 3, 1].entries()) startDebian(host, files, { script, seed, cpus });
    host.run(400e6);
    return [host.stateHash(), host.guests.map((guest) => guest.measures.stolen)];
  };
  const first = hash(usualTranslation);
  t.deepEqual(hash(usualTranslation), first);
  t.deepEqual(hash(false), first);
});
