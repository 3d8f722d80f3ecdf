/**
 * Cost of many idle guests: `node --no-wasm-inlining bench/idle.ts`. 32 Debian guests of 256 MiB boot on a host of 1.5 GiB and are merged;
 * what does not fit until then goes to swap. Then they have nothing to do: reported is the time that a second of their
 * virtual time takes, while ksmd scans as fast as it did, at Linux's default pace, and not at all, and the memory of the process.
 */
import { readFile } from 'node:fs/promises';
import { withUnnamedFile } from '../harness/run/swapfile.ts';
import { Host } from '../hypervisor/host.ts';
import { LinuxScanner } from '../hypervisor/ksm/linux/scanner.ts';
import { usualTranslation } from '../hypervisor/x86/translate/options.ts';
import { resolveImage } from '../workloads/images/resolve.ts';

const guests = 32;
const hostBytes = 1536 << 20;
const swapBytes = 2048 * 2 ** 20;
const guestBytes = 256 << 20;
/** Virtual ns between the guests' starts, until all is settled, and that are measured then. */
const stagger = 100e6;
const settled = 24e9;
const measured = 5e9;
const step = 1e9;
/** 5000 pages every 20 ms: a full scan of all that the guests have takes about two seconds. */
const fast = { pages_to_scan: 5000, sleep_millisecs: 20, run: 1 };
const paces = {
  '5000 pages every 20 ms': fast,
  '100 pages every 20 ms': { ...fast, pages_to_scan: 100 },
  'no scan': { run: 0 },
};

const image = await resolveImage('debian-busybox', (line) => process.stderr.write(`${line}\n`));
const [kernel, initrd] = await Promise.all([readFile(image.kernel), readFile(image.initrd)]);

const host = withUnnamedFile(
  (file) =>
    new Host({
      memory: hostBytes,
      translate: usualTranslation,
      cpus: 4,
      swap: { file, size: swapBytes, device: 'nvme' },
    }),
);
const ksmd = host.addScanner((memory) => new LinuxScanner('linux-6.18', { memory, costs: host.costs }));
const { scanner } = ksmd;
setKnobs(fast);
ksmd.start();

const began = performance.now();
for (let seed = 0; seed < guests; seed++) {
  const guest = host.addGuest({
    memory: guestBytes,
    cpus: 1,
    seed,
    epoch: 1_767_225_600,
    serialOutput: () => {},
    ports: [{ onOutput: () => {} }],
    disks: [],
    balloonFeatures: [],
  });
  guest.boot({ kernel, initrd, commandLine: 'console=ttyS0 panic=-1 nokaslr' });
  host.run(host.time + stagger);
}

function setKnobs(knobs: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(knobs)) scanner.knobs.set(name, value);
}

/** Instructions that all guests have executed. */
function executed(): number {
  return host.guests.reduce((sum, { instructions }) => sum + instructions, 0);
}

/** What the host and the process have now, on a line. */
function tell(): void {
  const { pages_shared, pages_sharing, full_scans } = scanner.counters();
  const { rss } = process.memoryUsage();
  const { maxRSS } = process.resourceUsage();
  const up = host.guests.filter(({ end }) => end === undefined).length;
  const used = host.pages.books.frames.count - host.pages.classes.free;
  const line =
    `${(host.time / 1e9).toFixed(1)} s virtual, ${((performance.now() - began) / 1000).toFixed(1)} s wall: ${up} guests, ` +
    `${used >> 8} MiB used, ${pages_shared} shared, ${pages_sharing} sharing, ${full_scans} scans, ` +
    `${Math.round(rss / 2 ** 20)} MiB resident, ${Math.round(maxRSS / 2 ** 10)} at most`;
  console.log(line);
}

while (host.time < settled) {
  host.run(host.time + step);
  tell();
}
const rows = Object.entries(paces).map(([pace, knobs]) => {
  setKnobs(knobs);
  const before = executed();
  const { user, system } = process.cpuUsage();
  const from = performance.now();
  host.run(host.time + measured);
  const wall = performance.now() - from;
  const after = process.cpuUsage();
  const seconds = measured / 1e9;
  return {
    ksmd: pace,
    'wall ms per virtual s': Math.round(wall / seconds),
    'CPU ms per virtual s': Math.round((after.user - user + after.system - system) / 1000 / seconds),
    'M instructions per virtual s': Math.round((executed() - before) / 1e4 / seconds) / 100,
  };
});
tell();
host.pages.check();
console.table(rows);
host.close();
