/**
 * Kernel modules as a Debian kernel package ships them: which files a set of modules needs, and the index
 * files that modprobe reads (modules.dep(5) and its kin), which Debian makes on installation only.
 */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { MissingProgram, runBytes } from './command.ts';
import { UserError } from './user-error.ts';

/** One module and what it needs. */
export interface KernelModule {
  /** With underscores for hyphens, as the kernel names it. */
  name: string;
  /** Below `lib/modules/RELEASE/`, of the uncompressed file. */
  path: string;
  data: Uint8Array;
  /** Names of the modules that it needs. */
  depends: string[];
  /** Other names under which the kernel asks for it, patterns among them. */
  aliases: string[];
}

/** The kernel's spelling of a module's name: file names have hyphens at will. */
function canonical(name: string): string {
  return name.replaceAll('-', '_');
}

function nameOf(path: string): string {
  return canonical(basename(path).replace(/\.ko(\.\w+)?$/, ''));
}

/**
 * The modules named by `wanted` and all that they need, each after what it needs, without those that are
 * built into the kernel.
 * @param folder the unpacked `lib/modules/RELEASE`
 * @param packageName the package it came from, for the message
 */
export async function selectModules(
  folder: string,
  wanted: readonly string[],
  packageName: string,
): Promise<KernelModule[]> {
  const paths = (await readdir(folder, { recursive: true })).filter((path) => /\.ko(\.\w+)?$/.test(path));
  const byName = new Map(paths.sort().map((path) => [nameOf(path), path]));
  const builtin = await builtinModules(folder);
  const selected = new Map<string, KernelModule>();

  async function select(name: string): Promise<void> {
    if (selected.has(name) || builtin.has(name)) return;
    const path = byName.get(name);
    if (path === undefined) {
      throw new UserError({
        file: packageName,
        place: `module ${name}`,
        cause: 'the kernel package has no such module, neither built in nor as a file',
        remedy: "take it out of the recipe's 'modules' or name another kernel package",
      });
    }
    const data = await readModule(join(folder, path));
    const { depends, aliases } = readModinfo(data);
    for (const needed of depends) await select(needed);
    selected.set(name, { name, path: path.replace(/\.ko\.\w+$/, '.ko'), data, depends, aliases });
  }

  for (const name of wanted) await select(canonical(name));
  return [...selected.values()];
}

/** The names of the modules that are part of the kernel itself. */
async function builtinModules(folder: string): Promise<Set<string>> {
  const list = await readFile(join(folder, 'modules.builtin'), 'utf8');
  return new Set(list.split('\n').filter(Boolean).map(nameOf));
}

/** Reads a module's file and unpacks it: newer Debian releases ship them compressed. */
async function readModule(file: string): Promise<Uint8Array> {
  if (file.endsWith('.xz')) return unxz(file);
  const bytes = await readFile(file);
  if (file.endsWith('.zst')) return zstdDecompressSync(bytes);
  if (file.endsWith('.gz')) return gunzipSync(bytes);
  return bytes;
}

async function unxz(file: string): Promise<Uint8Array> {
  const { status, stdout, stderr } = await runBytes('xz', ['-dc', file]).catch((error: unknown) => {
    if (!(error instanceof MissingProgram)) throw error;
    throw new UserError({
      file: basename(file),
      cause: "this kernel's modules are compressed by xz, which this machine lacks",
      remedy: "install Debian's package xz-utils",
    });
  });
  if (status !== 0) throw new Error(`xz cannot unpack ${basename(file)}: ${stderr}`);
  return stdout;
}

/**
 * Reads `depends=` and `alias=` from the section `.modinfo` of a module, which is a 64-bit little-endian ELF
 * file (System V ABI, "Sections"): strings of the form key=value, each ended by NUL.
 */
export function readModinfo(module: Uint8Array): { depends: string[]; aliases: string[] } {
  const bytes = Buffer.from(module.buffer, module.byteOffset, module.byteLength);
  if (bytes.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error('a module is no 64-bit ELF file');
  const headersAt = Number(bytes.readBigUInt64LE(0x28)); // e_shoff
  const size = bytes.readUInt16LE(0x3a); // e_shentsize
  const count = bytes.readUInt16LE(0x3c); // e_shnum
  const namesIndex = bytes.readUInt16LE(0x3e); // e_shstrndx
  const section = (index: number) => {
    const at = headersAt + index * size;
    const start = Number(bytes.readBigUInt64LE(at + 0x18)); // sh_offset
    const length = Number(bytes.readBigUInt64LE(at + 0x20)); // sh_size
    return { name: bytes.readUInt32LE(at), data: bytes.subarray(start, start + length) };
  };
  const names = section(namesIndex).data;
  const found = Array.from({ length: count }, (_, index) => section(index)).find(
    ({ name }) => names.toString('latin1', name, names.indexOf(0, name)) === '.modinfo',
  );
  const entries = (found?.data.toString('utf8') ?? '').split('\0');
  const values = (key: string) =>
    entries.filter((entry) => entry.startsWith(`${key}=`)).map((entry) => entry.slice(key.length + 1));
  const depends = values('depends').flatMap((list) => list.split(',').filter(Boolean).map(canonical));
  return { depends, aliases: values('alias') };
}

/**
 * The text of `modules.dep`: for each module its file and the files of all that it needs, so ordered that
 * loading them from the last to the first works.
 */
export function modulesDep(modules: readonly KernelModule[]): string {
  const needs = (module: KernelModule): KernelModule[] => {
    const all = new Set<KernelModule>();
    const visit = (each: KernelModule) => {
      for (const name of each.depends) {
        const needed = modules.find((other) => other.name === name);
        if (needed !== undefined) visit(needed);
      }
      all.add(each);
    };
    visit(module);
    all.delete(module);
    return [...all].reverse();
  };
  return modules
    .map(
      (each) =>
        `${each.path}:${needs(each)
          .map(({ path }) => ` ${path}`)
          .join('')}\n`,
    )
    .join('');
}

/** The text of `modules.alias`. */
export function modulesAlias(modules: readonly KernelModule[]): string {
  return modules.flatMap(({ name, aliases }) => aliases.map((alias) => `alias ${alias} ${name}\n`)).join('');
}
