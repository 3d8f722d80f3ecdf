/**
 * Builds the programs of our own that run in guests: the microguest, and the program of the Debian workloads. Needs gcc
 * and binutils for x86-64. The results are kept in the repository, so users need neither:
 *
 *     node workloads/native/build.ts
 *
 * writes them anew, with their digests in `SHA256SUMS`.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../images/command.ts';
import { sha256 } from '../images/digest.ts';

/** Where the microguest's area of pages begins: 2 MiB. */
const area = '0x200000';

/** No C library, nothing that depends on the machine it is built on. */
const flags = [
  ...['-std=gnu11', '-Os', '-Wall', '-Wextra', '-Werror', '-ffreestanding', '-fno-stack-protector'],
  ...['-fno-pic', '-fno-pie', '-mgeneral-regs-only', '-fno-asynchronous-unwind-tables'],
  ...['-fdata-sections', '-ffunction-sections', '-fno-tree-loop-distribute-patterns'],
];

/** A program to build. Paths are relative to `workloads/`. */
interface Program {
  /** The file in the repository. */
  readonly file: string;
  /** Folders whose sources it is made of. */
  readonly folders: readonly string[];
  readonly flags: readonly string[];
  readonly link: readonly string[];
  /** What becomes of the linked file. */
  readonly copy: readonly string[];
}

/** The programs, by their names. */
export const programs = {
  microguest: {
    file: 'microguest/microguest.bin',
    folders: ['native', 'microguest'],
    // An interrupt uses the stack that it interrupts.
    flags: ['-mno-red-zone', `-DAREA=${area}`],
    link: ['-T', 'microguest/layout.ld', `--defsym=AREA=${area}`],
    copy: ['-O', 'binary', '-j', '.setup', '-j', '.constant', '-j', '.note'],
  },
  workload: {
    file: 'guest/workload.elf',
    folders: ['native', 'guest/program'],
    flags: [],
    link: ['-static', '-z', 'noexecstack', '-z', 'separate-code'],
    copy: ['--strip-all', '--remove-section=.comment', '--remove-section=.note.gnu.property'],
  },
} as const satisfies Record<string, Program>;

/** Where each program is kept, and the list of their digests as sha256sum(1) writes it. */
export const digestsFile = 'native/SHA256SUMS';

const folder = fileURLToPath(new URL('..', import.meta.url));

/** Compiles and links a program. Gives its file's bytes. */
export async function buildProgram(name: keyof typeof programs): Promise<Uint8Array> {
  const program: Program = programs[name];
  const output = await mkdtemp(join(tmpdir(), 'pagefold-build-'));
  try {
    const objects: string[] = [];
    for (const source of await sourcesOf(program)) {
      const object = join(output, `${basename(source)}.o`);
      await must('gcc', [...flags, ...program.flags, '-c', source, '-o', object]);
      objects.push(object);
    }
    const linked = join(output, 'linked');
    const result = join(output, 'result');
    await must('ld', [
      '-nostdlib',
      '--gc-sections',
      '--build-id=none',
      ...program.link,
      '-o',
      linked,
      ...objects,
    ]);
    await must('objcopy', [...program.copy, linked, result]);
    return await readFile(result);
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

async function sourcesOf({ folders }: Program): Promise<string[]> {
  const lists = await Promise.all(
    folders.map(async (each) => (await readdir(join(folder, each))).map((file) => `${each}/${file}`)),
  );
  return lists
    .flat()
    .filter((file) => /\.[cS]$/.test(file))
    .sort();
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const { status, stderr } = await run(program, args, folder);
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
}

if (import.meta.main) {
  const lines: string[] = [];
  for (const name of Object.keys(programs).sort() as (keyof typeof programs)[]) {
    const { file } = programs[name];
    const bytes = await buildProgram(name);
    await writeFile(join(folder, file), bytes, { mode: 0o755 });
    lines.push(`${sha256(bytes)}  ${file}\n`);
  }
  await writeFile(join(folder, digestsFile), lines.join(''));
}
