/** What the guests are made to do: shell commands, the same for every emulator, and how one is timed. */
import type { GuestConsole, Seen } from './console.ts';

/** One kind of work. */
export interface Work {
  /** What `--only` calls it. */
  readonly name: string;
  /** What the table calls it. */
  readonly title: string;
  /** Whether it belongs to the CPU-bound loops, of which a mean is made. */
  readonly cpuBound: boolean;
  /** What comes before, untimed. */
  readonly prepare?: string;
  /** What is timed. */
  readonly command: string;
  /** What it prints when it worked. */
  readonly prints: RegExp;
}

/** 32 MiB of real data in a file: BusyBox, again and again. v86 has the others' BusyBox as /root/data. */
const realData =
  '[ -f /tmp/data ] || { d=/root/data; [ -f $d ] || d=/bin/busybox; i=0; ' +
  'while [ $i -lt 32 ]; do cat $d; i=$((i+1)); done | head -c 33554432 >/tmp/data; }';

/** All works, in the order in which they are done. */
export const works: readonly Work[] = [
  {
    name: 'sh',
    title: 'sh: loop of 100,000 turns',
    cpuBound: true,
    command: 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo $i',
    prints: /^100000$/,
  },
  {
    name: 'md5sum',
    title: 'md5sum of 64 MiB of zeros through a pipe',
    cpuBound: true,
    command: 'dd if=/dev/zero bs=1M count=64 2>/dev/null | md5sum',
    prints: /^7f614da9329cd3aebf59b91aadc30bf0 {2}-$/,
  },
  {
    name: 'sha256sum',
    title: 'sha256sum of the same',
    cpuBound: true,
    command: 'dd if=/dev/zero bs=1M count=64 2>/dev/null | sha256sum',
    prints: /^3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351 {2}-$/,
  },
  {
    name: 'gzip',
    title: 'gzip of 32 MiB of programs',
    cpuBound: true,
    prepare: realData,
    command: 'gzip -c /tmp/data | wc -c',
    prints: /^\d{8}$/,
  },
  {
    name: 'awk',
    title: 'awk: floating point, 200,000 turns',
    cpuBound: true,
    command: `awk 'BEGIN { x = 0; for (i = 1; i <= 200000; i++) x = x * 0.999 + i / (i + 0.5); printf "%.4f\\n", x }'`,
    prints: /^\d+\.\d{4}$/,
  },
  {
    name: 'fork',
    title: 'fork and exec: /bin/true 2,000 times',
    cpuBound: false,
    command: 'i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i+1)); done; echo $i',
    prints: /^2000$/,
  },
  {
    name: 'copy',
    title: 'copy of 32 MiB between tmpfs files, 16 times',
    cpuBound: false,
    prepare: realData,
    command:
      'i=0; while [ $i -lt 16 ]; do dd if=/tmp/data of=/tmp/copy bs=1M 2>/dev/null || break; i=$((i+1)); done; echo $i',
    prints: /^16$/,
  },
];

/** Wall time in ms after which an answer is not waited for any more. */
const patience = 300_000;

/** A line of the kernel's, which may come at any time. */
const kernelLine = /^\[ *\d+\.\d+\] [^\n]*\n/gm;

/** The shell's prompt: userspace is there. `guests` are waited for at the same time, and have that much more time. */
export function awaitPrompt(console: GuestConsole, guests = 1): Promise<Seen> {
  return console.expect('prompt of the shell', /~ # /, patience * guests);
}

/** How long a work took in ms, and what it printed. */
export interface Timed {
  readonly ms: number;
  readonly printed: string;
}

/** Has the work done at the shell's prompt. Throws an Error that says what went wrong. */
export async function timeWork(console: GuestConsole, work: Work): Promise<Timed> {
  if (work.prepare !== undefined) {
    await atPrompt(console, `preparation of ${work.name}`, work.prepare);
  }
  const { ms, printed } = await atPrompt(console, work.name, work.command);
  if (!work.prints.test(printed)) throw new Error(`${work.name} printed ${JSON.stringify(printed)}`);
  return { ms, printed };
}

/**
 * Runs a command between two lines that the guest prints, and takes the time between their arrivals. The lines stand in quotes in
 * what is typed, so that the terminal's echo of it is none of them.
 */
async function atPrompt(console: GuestConsole, what: string, command: string): Promise<Timed> {
  console.type(`echo 'be''gin'; { ${command}; }; echo "en""d $?"\n`);
  const begin = await console.expect(`start of ${what}`, /^begin\r?\n/m, patience);
  const end = await console.expect(`end of ${what}`, /^end (\d+)\r?\n/m, patience);
  await awaitPrompt(console);
  const { match } = end;
  const printed = match.input.slice(0, match.index).replaceAll(kernelLine, '').trim();
  if (match[1] !== '0') throw new Error(`${what} ended with status ${match[1]}`);
  return { ms: end.at - begin.at, printed };
}
