/**
 * Speed of boots, part of `npm run bench`. Boots the Debian guest's kernel, interpreted and translated in turns, and
 * reports guest instructions a second. Speeds differ from machine to machine and from hour to hour; the ratio within a run is what
 * can be compared.
 */
import { readFile } from 'node:fs/promises';
import { Bench } from 'tinybench';
import { createGuest } from '../harness/cli/machine.ts';
import { resolveImage } from '../workloads/images/resolve.ts';

/** Virtual time of one boot, in ns: up to the first program. */
const bootTime = 1.3e9;
const rounds = 3;

const image = await resolveImage('debian-busybox', (line) => process.stderr.write(`${line}\n`));
const [kernel, initrd] = await Promise.all([readFile(image.kernel), readFile(image.initrd)]);

function boot(translate: boolean): number {
  const guest = createGuest({
    memoryBytes: 256 << 20,
    balloonBytes: 0,
    cpus: 1,
    seed: 0,
    translate,
    kernel,
    initrd,
    commandLine: 'console=ttyS0 panic=-1',
    disks: [],
    ports: [],
  });
  while (guest.virtualNs < bootTime) guest.step(10e6);
  return guest.instructions;
}

const bench = new Bench({ iterations: rounds, time: 0, warmup: false });
let instructions = 0;
for (const translate of [false, true]) {
  bench.add(translate ? 'kernel boot, translated' : 'kernel boot, interpreted', () => {
    instructions = boot(translate);
  });
}
await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => {
    const latency = result !== undefined && 'latency' in result ? result.latency.p50 : Number.NaN;
    return {
      work: name,
      'M instructions': Math.round(instructions / 1e6),
      'median ms': Math.round(latency),
      'M instructions/s': Math.round(instructions / 1e3 / latency),
    };
  }),
);
