/** Debian boots on the emulated PC: the whole machine, end to end, with the image that users get. */

import { readFile } from 'node:fs/promises';
import test from 'ava';
import { type TranslationOptions, usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { controlParameter, controlPort, outputPort } from '../../workloads/guest/control.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';
import { execInGuest } from './exec.ts';
import { createGuest, type Guest } from './machine.ts';

interface Options {
  image?: string;
  cpus?: number;
  seed?: number;
  translate?: boolean | TranslationOptions;
  balloonBytes?: number;
  /** Called between steps. */
  between?: (guest: Guest) => void;
}

/** Boots a guest and runs a script in it. */
async function run(
  script: string,
  {
    image = 'debian-busybox',
    cpus = 1,
    seed = 1,
    translate = true,
    balloonBytes = 0,
    between = () => {},
  }: Options = {},
) {
  const { kernel, initrd } = await resolveImage(image);
  const guest: Guest = createGuest({
    memoryBytes: 256 << 20,
    cpus,
    seed,
    translate,
    balloonBytes,
    kernel: await readFile(kernel),
    initrd: await readFile(initrd),
    commandLine: `console=ttyS0 panic=-1 ${controlParameter}`,
    disks: [],
    ports: [controlPort, outputPort],
  });
  let output = '';
  let console = '';
  guest.console.onOutput = (bytes) => {
    console += new TextDecoder().decode(bytes);
  };
  const status = await execInGuest(guest, {
    script,
    print: (bytes) => {
      output += new TextDecoder().decode(bytes);
    },
    drained: () => {
      between(guest);
      return undefined;
    },
    signal: new AbortController().signal,
  });
  return { status, output, console, instructions: guest.instructions, hash: guest.stateHash() };
}

test.serial(
  'programs run: arithmetic, files, processes and pipes give what they give anywhere',
  async (t) => {
    const script = `
    md5sum /bin/busybox | cut -c1-32
    i=0; s=0; while [ $i -lt 1000 ]; do i=$((i+1)); s=$((s+i*i)); done; echo $s
    seq 1 2000 | sort -rn | sha256sum
    awk 'BEGIN { x = 0; for (i = 1; i <= 1000; i++) x += 1 / i; printf "%.15g\\n", x }'
    exit 7`;
    const { kernel, manifest } = await resolveImage('debian-busybox');
    t.truthy(kernel);
    const { status, output } = await run(script);
    const busybox = manifest.contents.find(({ path }) => path === '/bin/busybox')!;
    t.deepEqual(output.trim().split('\n'), [
      busybox.md5,
      '333833500',
      'c7724e22c4ca5696400fe54afb16022c49f87c56a59585ba7fe4b46933c83f98  -',
      '7.48547086055034',
    ]);
    t.is(status, 7);
  },
);

test.serial('the drivers of all virtio devices bind', async (t) => {
  const { output } = await run(
    'for d in /sys/bus/virtio/devices/*; do basename $(readlink $d/driver); done | sort',
  );
  t.deepEqual(output.trim().split('\n'), ['virtio_balloon', 'virtio_console', 'virtio_net', 'virtio_rng']);
});

test.serial(
  'the same seed gives the same run to the last byte, whether and however code is translated',
  async (t) => {
    const script = 'dmesg | md5sum';
    const interpreted = await run(script, { translate: false });
    t.deepEqual(await run(script), interpreted);
    // Nearly everything is translated, and most of it is evicted again.
    const eager = { ...usualTranslation, hotAfter: 40, cold: 2, patience: 0, mostBytes: 400_000 };
    let evicted = 0;
    const between = ({ counters }: Guest) => {
      evicted = counters.translator.evictedModules;
    };
    t.deepEqual(await run(script, { translate: eager, between }), interpreted);
    t.true(evicted > 20);
  },
);

test.serial("the guest's own driver inflates and deflates the balloon", async (t) => {
  const balloonMib = 64;
  const available = `awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo`;
  const { output } = await run(`sleep 1; ${available}; sleep 3; ${available}; sleep 3; ${available}`, {
    between: (guest) => {
      const seconds = guest.virtualNs / 1e9;
      guest.setBalloon(seconds > 3 && seconds < 6.5 ? balloonMib << 20 : 0);
    },
  });
  const [before, inflated, after] = output.trim().split('\n').map(Number) as [number, number, number];
  t.true(
    Math.abs(before - inflated - balloonMib) <= 2,
    `${before} MiB available before, ${inflated} inflated`,
  );
  t.true(Math.abs(before - after) <= 2, `${before} MiB available before, ${after} after`);
});

test.serial('another seed gives another layout of the kernel', async (t) => {
  const address = 'grep " _text$" /proc/kallsyms';
  const first = await run(address);
  const second = await run(address, { seed: 2 });
  t.regex(first.output, /^ffffffff[0-9a-f]{8} T _text/);
  t.not(second.output, first.output);
});

test.serial('four vCPUs work together, and repeatably', async (t) => {
  const script =
    'nproc; for i in 1 2 3 4; do (seq 1 3000 | md5sum) & done; wait; dmesg | grep -ciE "unstable|stall"';
  const first = await run(script, { cpus: 4 });
  const lines = first.output.trim().split('\n');
  t.is(lines[0], '4');
  t.is(new Set(lines.slice(1, 5)).size, 1);
  t.is(lines[5], '0');
  t.deepEqual(await run(script, { cpus: 4 }), first);
});

for (const image of ['debian-busybox-generic', 'debian-busybox-rt']) {
  test.serial(`${image} boots`, async (t) => {
    const { status, output } = await run('uname -r', { image });
    t.is(status, 0);
    t.regex(output, image.endsWith('rt') ? /-rt-amd64/ : /^6\.\d.*-amd64/);
  });
}
