/** What a run needs before it can begin: images, the guests' settings, and the digest of all that its results depend on. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve as resolvePath } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { RecordedImage } from '../../reports/format/manifest.ts';
import { formatVersion } from '../../reports/format/names.ts';
import { sha256 } from '../../reports/format/read.ts';
import { microguestImage, workloadParameters } from '../../workloads/catalog.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';
import { readMicroguest } from '../../workloads/microguest/image.ts';
import type { Cell, LoadedScenario } from '../scenario/load.ts';
import { type GuestPlan, guestPlans, type Scenario } from '../scenario/resolve.ts';
import type { GuestSetup } from './host.ts';

/** The pagefold that runs. */
export interface Version {
  readonly version: string;
  /** See `manifestSchema`. */
  readonly commit: string | null;
}

/** One run, ready to begin. */
export interface RunPlan {
  readonly scenario: Scenario;
  readonly parameters: Cell['parameters'];
  readonly scannerFile: string | undefined;
  readonly guests: readonly GuestSetup[];
  readonly images: readonly RecordedImage[];
  readonly pagefold: Version;
  /** Of all that the results depend on. */
  readonly digest: string;
  /** `NAME-DIGEST`, with the digest's first digits. */
  readonly folderName: string;
}

const root = new URL('../../', import.meta.url);
/** Digits of a digest in a folder's name. */
const shortDigest = 8;

/** A folder's name for something of that name and digest. */
export function folderName(name: string, digest: string): string {
  return `${name}-${digest.slice(0, shortDigest)}`;
}

/** The version and commit of this pagefold. */
export async function pagefoldVersion(): Promise<Version> {
  const { version } = JSON.parse(await readFile(new URL('package.json', root), 'utf8'));
  return { version, commit: await commitOf(fileURLToPath(root)) };
}

async function commitOf(folder: string): Promise<string | null> {
  if (!existsSync(resolvePath(folder, '.git'))) return null;
  const git = async (...words: string[]) =>
    (await promisify(execFile)('git', ['-C', folder, ...words])).stdout.trim();
  try {
    const commit = await git('rev-parse', 'HEAD');
    const changes = await git('status', '--porcelain', '--untracked-files=no');
    return changes === '' ? commit : `${commit}-changed`;
  } catch {
    // No git, or not its checkout: the version alone has to do.
    return null;
  }
}

interface ReadImage {
  readonly recorded: RecordedImage;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly disk: string | undefined;
}

async function readImage(name: string, progress: (line: string) => void): Promise<ReadImage> {
  if (name === microguestImage) {
    const { kernel, digest } = await readMicroguest();
    return { recorded: { name, digest, packages: [] }, kernel, initrd: new Uint8Array(0), disk: undefined };
  }
  const image = await resolveImage(name, progress);
  const packages = image.manifest.packages.map(({ name: of, version }) => ({ name: of, version }));
  return {
    recorded: { name, digest: image.digest, packages },
    kernel: await readFile(image.kernel),
    initrd: await readFile(image.initrd),
    disk: image.disk,
  };
}

/**
 * Makes the runs of a scenario ready: builds images that are not there yet (`progress` is told), and reads each once.
 * @throws `UserError` when there is no such image, or it cannot be built
 */
export async function planRuns(
  { file, cells }: Pick<LoadedScenario, 'file' | 'cells'>,
  progress: (line: string) => void,
): Promise<RunPlan[]> {
  const pagefold = await pagefoldVersion();
  const images = new Map<string, ReadImage>();
  for (const { scenario } of cells) {
    for (const { image } of scenario.guests) {
      if (!images.has(image)) images.set(image, await readImage(image, progress));
    }
  }
  return Promise.all(cells.map((cell) => planRun(cell, file, pagefold, images)));
}

async function planRun(
  { scenario, parameters }: Cell,
  file: string,
  pagefold: Version,
  images: ReadonlyMap<string, ReadImage>,
): Promise<RunPlan> {
  const { ksm } = scenario.host;
  const ownScanner = ksm !== 'off' && ksm.scanner.includes('/');
  const scannerFile = ownScanner ? resolvePath(dirname(file), ksm.scanner) : undefined;
  const used = [...new Set(scenario.guests.map(({ image }) => image))].map((name) => images.get(name)!);
  const dependsOn = {
    formatVersion,
    pagefold,
    scenario,
    images: used.map(({ recorded: { name, digest } }) => [name, digest]),
    scanner: scannerFile === undefined ? null : sha256(await readFile(scannerFile)),
  };
  const digest = sha256(JSON.stringify(dependsOn));
  return {
    scenario,
    parameters,
    scannerFile,
    pagefold,
    digest,
    folderName: folderName(scenario.name, digest),
    images: used.map(({ recorded }) => recorded),
    guests: guestPlans(scenario).map((plan, number) => {
      const { kernel, initrd, disk } = images.get(plan.group.image)!;
      // A scenario's seeds are 32 bits, a guest's may have 53.
      const seed = scenario.seed * 4096 + number;
      return { plan, kernel, initrd, disk, commandLine: commandLine(plan, number), seed };
    }),
  };
}

/** The console is the serial port; a kernel that panics resets, which ends the guest; then what it is to do. */
function commandLine({ group }: GuestPlan, number: number): string {
  const words = ['console=ttyS0', 'panic=-1', workloadParameters(group.workload, number), group.append];
  return words.filter((word) => word !== '').join(' ');
}
