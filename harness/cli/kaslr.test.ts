/** Debian guests whose kernels are at different addresses share what is decoded and translated, and compute what each would alone. */
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { Host } from '../../hypervisor/host.ts';
import { BALLOON_FEATURES } from '../../hypervisor/virtio/balloon/features.ts';
import { usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';
import { epoch } from '../epoch.ts';

/** Virtual time of the part of the boot that is looked at, in ns: most of the kernel's initialization. */
const bootTime = 0.45e9;

const image = resolveImage('debian-busybox', () => {});

/** Two guests with different seeds on one host, of which the second is booted, and the first as well or not. */
async function second(translate: boolean, withFirst: boolean) {
  const { kernel, initrd } = await image;
  const files = {
    kernel: await readFile(kernel),
    initrd: await readFile(initrd),
    commandLine: 'console=ttyS0',
  };
  const host = new Host({ memory: 640 << 20, translate: translate ? usualTranslation : false });
  const guests = [1, 2].map((seed) =>
    host.addGuest({
      memory: 256 << 20,
      cpus: 1,
      seed,
      epoch,
      serialOutput: () => {},
      ports: [{ onOutput: () => {} }],
      disks: [],
      balloonFeatures: BALLOON_FEATURES,
    }),
  );
  for (const guest of withFirst ? guests : guests.slice(1)) guest.boot(files);
  host.run(bootTime);
  return { state: guests[1]!.stateHash(), ...host.engine.counters.code };
}

test('kernels at different addresses share what is decoded, and come to the states that each comes to alone', async (t) => {
  const shared = await second(true, true);
  const alone = await second(false, false);
  t.is(shared.state, alone.state);
  t.is(alone.slid, 0);
  t.true(shared.slid > 1000, `${shared.slid} pages were known from the other kernel`);
  t.true(shared.pages - alone.pages < 100, `${shared.pages} pages for two guests, ${alone.pages} for one`);
});
