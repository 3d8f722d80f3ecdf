/**
 * The host's knobs of same-page merging: set for the time of a measurement, and put back however it ends.
 *
 * Putting back is the work of a process of its own, the keeper, which waits for the end of its input: that comes when the command
 * asks for it, and as well when it fails, is interrupted or killed. The kernel's document "Kernel Samepage Merging" describes the
 * knobs of `/sys/kernel/mm/ksm`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, readFile, writeFile } from 'node:fs/promises';
import { UserError } from '../../../workloads/images/user-error.ts';

const ksm = '/sys/kernel/mm/ksm';
const hugePages = '/sys/kernel/mm/transparent_hugepage/enabled';

/** A value for a knob, by its file. */
type Settings = readonly (readonly [file: string, value: string])[];

/** Pages that ksmd looks at before it sleeps: many, so that counters settle soon. */
const pagesToScan = 5000;

/**
 * What is set, in this order, beside `run`: Linux's defaults, but for `pages_to_scan`. Guests get no huge pages, since their
 * resident size would be counted in units of 2 MiB.
 */
const wanted: Settings = [
  [`${ksm}/advisor_mode`, 'none'],
  [`${ksm}/pages_to_scan`, `${pagesToScan}`],
  [`${ksm}/sleep_millisecs`, '20'],
  [`${ksm}/use_zero_pages`, '0'],
  [`${ksm}/max_page_sharing`, '256'],
  [`${ksm}/merge_across_nodes`, '1'],
  [`${ksm}/stable_node_chains_prune_millisecs`, '2000'],
  [`${ksm}/smart_scan`, '1'],
  [hugePages, 'never'],
];

/** Those of them that every scanner after Linux's has, by name. */
export const scannerKnobs: Readonly<Record<string, string>> = Object.fromEntries(
  wanted
    .map(([file, value]) => [shortName(file), value] as const)
    .filter(([name]) => name !== 'transparent_hugepage'),
);

/** `run`: stop and give all merged pages back; merge. */
const [unmerge, merge] = ['2', '1'];

const read = async (file: string) => chosen((await readFile(file, 'utf8')).trim());

/** Of a knob with words to choose from, `[none] scan-time`, the one that is chosen. */
function chosen(text: string): string {
  return /\[(.+?)\]/.exec(text)?.[1] ?? text;
}

/** A counter of the host's KSM. */
export async function ksmCounter(name: string): Promise<number> {
  return Number(await read(`${ksm}/${name}`));
}

/** Starts merging, or gives all merged pages back and stops. */
export async function setMerging(on: boolean): Promise<void> {
  await writeFile(`${ksm}/run`, on ? merge : unmerge);
}

/** Fails unless the host's KSM can be had for a measurement alone. */
async function mustBeFree(): Promise<void> {
  await access(`${ksm}/run`, constants.W_OK).catch((error: NodeJS.ErrnoException) => {
    const cause = error.code === 'ENOENT' ? 'this kernel has no KSM' : 'it cannot be written';
    throw new UserError({ file: `${ksm}/run`, cause, remedy: 'run this as root on Linux with CONFIG_KSM' });
  });
  if ((await ksmCounter('run')) === 1 || (await ksmCounter('pages_shared')) > 0) {
    throw new UserError({
      file: `${ksm}/run`,
      cause: 'KSM is at work for other processes, which would be counted too',
      remedy: `end them or stop it ('echo 2 > ${ksm}/run'), and try again`,
    });
  }
}

/**
 * Sets the knobs, calls `work`, and puts all back: first all pages are unmerged, then each knob gets the value that it had, `run` as the
 * last. `work` is given what was set, in words.
 */
export async function withKnobs<Result>(work: (settings: string) => Promise<Result>): Promise<Result> {
  await mustBeFree();
  const there: [string, string][] = [];
  for (const [file, value] of wanted) {
    // Older kernels lack some of them.
    if (await read(file).catch(() => undefined)) there.push([file, value]);
  }
  // What the values were, so that they are put back in the order in which they can be: `pages_to_scan` while there is no advisor.
  const before = await Promise.all(there.map(async ([file]) => [file, await read(file)] as const));
  const last: Settings = [...before.toReversed(), [`${ksm}/run`, await read(`${ksm}/run`)]];
  const keeper = startKeeper(last);
  try {
    await setMerging(false);
    for (const [file, value] of there) await writeFile(file, value);
    return await work(there.map(([file, value]) => `${shortName(file)} ${value}`).join(', '));
  } finally {
    await endKeeper(keeper, last);
  }
}

function shortName(file: string): string {
  return file === hugePages ? 'transparent_hugepage' : file.slice(ksm.length + 1);
}

function startKeeper(last: Settings): ChildProcess {
  const lines = [[`${ksm}/run`, unmerge] as const, ...last].map(
    ([file, value]) => `echo '${value}' >'${file}'`,
  );
  // In a session of its own, and deaf to signals: Ctrl-C is for the command, not for this.
  const script = ["trap '' INT TERM HUP", 'cat >/dev/null', ...lines].join('\n');
  return spawn('sh', ['-c', script], { detached: true, stdio: ['pipe', 'ignore', 'inherit'] });
}

/** Has the keeper put all back, and makes sure that it did. */
async function endKeeper(keeper: ChildProcess, last: Settings): Promise<void> {
  const exited = once(keeper, 'exit');
  keeper.stdin!.end();
  await exited;
  for (const [file, value] of last) {
    const now = await read(file);
    if (now !== value) throw new Error(`${file} is ${now}, and could not be put back to ${value}`);
  }
}
