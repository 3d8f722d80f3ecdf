/**
 * Debian's packages through the ordinary apt client, as any user: with a state directory of our own, so that
 * nothing of the machine's is changed or locked. Sources, keys and proxies are those that the machine is
 * configured with, and apt checks the archive's signatures as always.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ended, MissingProgram, run } from './command.ts';
import { sha256 } from './digest.ts';
import { UserError } from './user-error.ts';

/** A package that was fetched. */
export interface FetchedPackage {
  name: string;
  version: string;
  architecture: string;
  /** SHA-256 of the .deb file. */
  sha256: string;
  /** Path of the .deb file. */
  file: string;
}

/** What the package lists say of a package's newest version that the machine's configuration prefers. */
export interface PackageRecord {
  name: string;
  version: string;
  /** Names of the packages that it depends on, the first of each choice. */
  depends: string[];
}

/** An apt client with a state of its own. */
export interface Apt {
  /** Looks a package up. Throws {@link UserError} when no source has it. */
  look(name: string): Promise<PackageRecord>;
  /** Fetches the preferred versions of these packages into `folder`. */
  fetch(names: readonly string[], folder: string): Promise<FetchedPackage[]>;
}

/** Debian's name of a machine architecture. */
export type Architecture = 'amd64' | 'i386';

/** Makes an apt client for that architecture whose state lives in `folder`, and updates its package lists. */
export async function openApt(folder: string, architecture: Architecture = 'amd64'): Promise<Apt> {
  const state = join(folder, 'state');
  const cache = join(folder, 'cache');
  await mkdir(join(state, 'lists', 'partial'), { recursive: true });
  await mkdir(join(cache, 'archives', 'partial'), { recursive: true });
  // An empty status file: which packages the machine has installed does not matter here.
  await writeFile(join(state, 'status'), '');
  const configuration = join(folder, 'apt.conf');
  await writeFile(configuration, aptConfiguration(state, cache, architecture));
  const apt = (program: string, args: readonly string[], directory?: string) =>
    run(program, ['-c', configuration, ...args], directory).catch(rejectMissing);

  const updated = await apt('apt-get', ['-q', 'update']);

  async function look(name: string): Promise<PackageRecord> {
    const shown = await apt('apt-cache', ['show', '--no-all-versions', name]);
    if (shown.status === 0 && shown.stdout.includes('Package: ')) return parseRecord(shown.stdout);
    throw new UserError({
      file: name,
      cause: `this machine's package sources have no package of this name for ${architecture}${complaints(updated)}`,
      remedy:
        updated.status === 0
          ? 'add a Debian source that has it to /etc/apt/sources.list.d, or import an image that another ' +
            "machine exported: 'pagefold guest import FILE'"
          : 'mend the package sources in /etc/apt or the network, and try again',
    });
  }

  async function fetch(names: readonly string[], into: string): Promise<FetchedPackage[]> {
    await mkdir(into, { recursive: true });
    const fetched = await apt('apt-get', ['-q', 'download', ...names], into);
    if (fetched.status !== 0) {
      throw new UserError({
        file: names.join(', '),
        cause: `apt-get could not fetch these packages${complaints(fetched)}`,
        remedy: 'look after the network and the package sources in /etc/apt, and try again',
      });
    }
    const files = await readdir(into);
    return Promise.all(
      names.map(async (name) => {
        const file = join(into, files.find((each) => each.startsWith(`${name}_`))!);
        return { ...(await describe(file)), sha256: sha256(await readFile(file)), file };
      }),
    );
  }

  return { look, fetch };
}

function aptConfiguration(state: string, cache: string, architecture: Architecture): string {
  return [
    `Dir::State "${state}/";`,
    'Dir::State::lists "lists/";',
    `Dir::State::status "${state}/status";`,
    `Dir::Cache "${cache}/";`,
    // Some machines turn this index off, to save room; it spares apt the reading of all lists at every call.
    'Dir::Cache::pkgcache "pkgcache.bin";',
    'Acquire::GzipIndexes "false";',
    `APT::Architecture "${architecture}";`,
    '#clear APT::Architectures;',
    `APT::Architectures { "${architecture}"; };`,
    'Acquire::Languages "none";',
    // The state belongs to this user, so apt shall not step down to another one to write it.
    'APT::Sandbox::User "root";',
    // What the machine does after its own updates is not for ours.
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '',
  ].join('\n');
}

function rejectMissing(error: unknown): never {
  if (!(error instanceof MissingProgram)) throw error;
  throw new UserError({
    file: 'apt-get',
    cause: "guest images are made from Debian's packages by apt, which this machine lacks",
    remedy: "build on a Debian machine, 'pagefold guest export' there and 'pagefold guest import' here",
  });
}

/** What apt complained of, to be added to a message. */
function complaints({ stderr }: Ended<string>): string {
  const lines = stderr.split('\n').filter((line) => /^[EW]: /.test(line));
  return lines.length === 0 ? '' : ` (apt: ${lines.map((line) => line.slice(3)).join('; ')})`;
}

/** Reads the first paragraph of what `apt-cache show` prints (Debian Policy, "Syntax of control files"). */
export function parseRecord(text: string): PackageRecord {
  const paragraph = text
    .trimStart()
    .split('\n\n')[0]!
    .replaceAll(/\n[ \t]+/g, ' ');
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1] ?? '';
  const depends = `${field('Pre-Depends')},${field('Depends')}`
    .split(',')
    .map((choice) => /^\s*([a-z0-9][a-z0-9+.-]+)/.exec(choice)?.[1])
    .filter((name) => name !== undefined);
  return { name: field('Package'), version: field('Version'), depends };
}

async function describe(file: string): Promise<{ name: string; version: string; architecture: string }> {
  const { stdout } = await run('dpkg-deb', [
    '-W',
    '--showformat=$' + '{Package}\n$' + '{Version}\n$' + '{Architecture}',
    file,
  ]);
  const [name, version, architecture] = stdout.split('\n');
  if (!name || !version || !architecture) throw new Error(`dpkg-deb cannot read ${file}`);
  return { name, version, architecture };
}
