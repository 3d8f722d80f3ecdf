/** v86 from npm, with Debian's SeaBIOS, one guest a process. */
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Image } from '../../workloads/images/store.ts';
import { startNodeMachine } from './node-machine.ts';
import { type AbsentPeer, commandLine, guestBytes, type Peer } from './peer.ts';
import { initrdWithData, resolve686Image } from './v86-image.ts';
import type { V86Boot } from './v86-process.ts';

/** Where Debian's package `seabios` has its files. */
const biosFolder = '/usr/share/seabios';

/**
 * Makes it ready, or says why it cannot be.
 * @param other the image that other emulators boot
 * @param folder a folder for its files, which lasts as long as it is used
 */
export async function v86(
  other: Image,
  folder: string,
  progress: (line: string) => void,
): Promise<Peer | AbsentPeer> {
  const name = 'v86';
  try {
    const main = createRequire(import.meta.url).resolve('v86');
    const manifest = JSON.parse(await readFile(join(dirname(main), '..', 'package.json'), 'utf8'));
    const image = await resolve686Image(progress);
    const initrd = join(folder, 'v86-initrd');
    await writeFile(initrd, await initrdWithData(image, other));
    const boot: Omit<V86Boot, 'commandLine'> = {
      wasm: join(dirname(main), 'v86.wasm'),
      bios: join(biosFolder, 'bios.bin'),
      vgaBios: join(biosFolder, 'vgabios-stdvga.bin'),
      kernel: image.kernel,
      initrd,
      memoryBytes: guestBytes,
    };
    await Promise.all([readFile(boot.bios), readFile(boot.vgaBios)]);
    return {
      name,
      description: `v86 ${manifest.version} on Node ${process.versions.node}, kernel ${image.manifest.kernelRelease}`,
      several: false,
      start: ({ kaslr }) =>
        startNodeMachine('v86-process.ts', { ...boot, commandLine: commandLine(kaslr) }, 1, 1, []),
    };
  } catch (error) {
    return { name, absent: (error as Error).message };
  }
}
