/**
 * The KSM of the kernel that this process runs on, driven full scan by full scan: guests are processes with memory that may be
 * merged. For comparison; needs root, and puts every knob back.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { KnobValue } from '../scanner.ts';

const sysfs = '/sys/kernel/mm/ksm';
const script = fileURLToPath(new URL('pages.py', import.meta.url));
/** So long ksmd sleeps when it is not woken. */
const longSleep = 1_000_000;

/** Who uses the kernel's KSM now; undefined when nobody does. */
export function user(): string | undefined {
  const other = stranger();
  if (other !== undefined) return `${other} has memory that may be merged`;
  if (readCounter('run') !== 0) return `${sysfs}/run is ${readCounter('run')}`;
  return undefined;
}

/** Why the kernel's KSM cannot be used here; undefined when it can. */
export function unusable(): string | undefined {
  try {
    accessSync(`${sysfs}/run`, constants.W_OK);
  } catch {
    return `${sysfs}/run cannot be written: it needs root and a Linux kernel with KSM`;
  }
  if (spawnSync('python3', ['-c', 'import mmap; mmap.mmap.madvise']).status !== 0)
    return 'python3 (3.8 or later) is not there to hold the pages';
  return undefined;
}

function readCounter(name: string): number {
  return Number(readFileSync(`${sysfs}/${name}`, 'utf8'));
}

/** The fields of a file of lines with a name and a number. */
function readFields(file: string): Record<string, number> {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [name, value] = line.split(/[\s:]+/) as [string, string];
      return [name, Number(value)];
    }),
  );
}

/** Processes that hold pages for a comparison. */
const guests = new Set<number>();

/**
 * Another process with memory that may be merged, as every QEMU has unless told otherwise; undefined when there is none. Its pages
 * would be counted with ours.
 */
export function stranger(): string | undefined {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || guests.has(Number(pid))) continue;
    try {
      const status = readFileSync(`/proc/${pid}/ksm_stat`, 'utf8');
      if (/ksm_mergeable: yes|ksm_rmap_items [1-9]/.test(status)) return `${commandOf(pid)} (process ${pid})`;
    } catch {
      // It has ended meanwhile.
    }
  }
  return undefined;
}

/** A process with memory that may be merged. */
export class KernelGuest {
  readonly #child: ChildProcessWithoutNullStreams;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    guests.add(child.pid!);
  }

  /** Starts a process and maps its pages. */
  static async start(pageCount: number): Promise<KernelGuest> {
    const guest = new KernelGuest(spawn('python3', [script]));
    await guest.#command(`map ${pageCount}`);
    return guest;
  }

  #command(line: string, content?: Uint8Array): Promise<void> {
    const { stdin, stdout } = this.#child;
    return new Promise((resolve, reject) => {
      const end = () => reject(new Error('the process that holds the pages has ended'));
      this.#child.once('exit', end);
      stdout.once('data', () => {
        this.#child.off('exit', end);
        resolve();
      });
      stdin.write(`${line}\n`);
      if (content !== undefined) stdin.write(content);
    });
  }

  /** Writes pages whole, from one on. */
  async write(first: number, content: Uint8Array): Promise<void> {
    await this.#command(`write ${first} ${content.length / 4096}`, content);
  }

  /** Gives the frames of pages back. */
  async discard(first: number, count: number): Promise<void> {
    await this.#command(`discard ${first} ${count}`);
  }

  /** The process's KSM counters. */
  counters(): Record<string, number> {
    return readFields(`/proc/${this.#child.pid}/ksm_stat`);
  }

  /** Ends the process. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.#child.once('exit', () => {
        guests.delete(this.#child.pid!);
        resolve();
      });
      this.#child.kill('SIGKILL');
    });
  }
}

/** See the top of this file. Only one at a time, and {@link close} must be called. */
export class Kernel {
  readonly #before: Record<string, string>;
  readonly #offsets: Record<string, number> = {};
  #sleep = longSleep;
  /** The first stranger that was seen; the counters are worth nothing then. */
  disturbedBy: string | undefined;

  constructor() {
    const knobs = readdirSync(sysfs).filter((name) => (statSync(`${sysfs}/${name}`).mode & 0o200) !== 0);
    this.#before = Object.fromEntries(
      knobs.map((name) => [name, readFileSync(`${sysfs}/${name}`, 'utf8').trim()]),
    );
    this.set('run', 2);
    this.set('advisor_mode', 'none');
    this.set('pages_to_scan', 4e6);
    const counters = this.counters();
    // These are never reset.
    for (const name of ['pages_scanned', 'pages_skipped', 'cow_ksm']) this.#offsets[name] = counters[name]!;
  }

  /** Sets a knob; throws the kernel's error. */
  set(name: string, value: KnobValue): void {
    writeFileSync(`${sysfs}/${name}`, String(value));
  }

  #wake(): void {
    this.#sleep = this.#sleep === longSleep ? longSleep + 1 : longSleep;
    this.set('sleep_millisecs', this.#sleep);
  }

  /** Lets ksmd do one full scan; `pages_to_scan` covers all pages. */
  async scan(): Promise<Record<string, number>> {
    const before = readCounter('full_scans');
    const after = await this.batch();
    if (after.full_scans === before) throw new Error('ksmd has not ended its full scan');
    return after;
  }

  /**
   * Lets ksmd do one batch. A wake-up before ksmd has gone to sleep would be lost, so its state is awaited: in its sleep
   * between batches, or, when run is not 1, in the wait for that.
   */
  async batch(): Promise<Record<string, number>> {
    await until('ksmd does not go to sleep', asleep);
    if (readCounter('run') !== 1) {
      this.#wake();
      await until('ksmd does not go to sleep', asleep);
    }
    const progress = () => `${readCounter('full_scans')} ${readCounter('pages_scanned')}`;
    const before = progress();
    if (readCounter('run') === 1) this.#wake();
    else this.set('run', 1);
    await until('ksmd does not scan', () => progress() !== before);
    await until('ksmd does not go to sleep', asleep);
    this.disturbedBy ??= stranger();
    return this.counters();
  }

  /** The counters, as `Scanner.counters` names them; those that never fall count from the start. */
  counters(): Record<string, number> {
    const names = [
      'pages_shared',
      'pages_sharing',
      'pages_unshared',
      'pages_volatile',
      'pages_scanned',
      'pages_skipped',
      'ksm_zero_pages',
      'full_scans',
      'stable_node_chains',
      'stable_node_dups',
      'general_profit',
    ];
    const counters = Object.fromEntries(names.map((name) => [name, readCounter(name)]));
    counters.cow_ksm = readFields('/proc/vmstat').cow_ksm!;
    for (const [name, offset] of Object.entries(this.#offsets)) counters[name]! -= offset;
    return counters;
  }

  /** CPU time of ksmd so far in ns. */
  static cpuTime(): number {
    return Number(readFileSync(`/proc/${daemon()}/schedstat`, 'utf8').split(' ')[0]);
  }

  /** Unmerges everything and puts the knobs back as they were. */
  close(): void {
    this.set('run', 2);
    this.set('advisor_mode', 'none');
    for (const [name, value] of Object.entries(this.#before)) {
      if (name !== 'advisor_mode' && name !== 'run') this.set(name, value);
    }
    this.set('advisor_mode', /\[(.*)\]/.exec(this.#before.advisor_mode!)?.[1] ?? 'none');
    this.set('run', this.#before.run!);
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

let daemonPid: string | undefined;

/** Process number of ksmd. */
function daemon(): string {
  daemonPid ??= readdirSync('/proc').find((each) => /^\d+$/.test(each) && commandOf(each) === 'ksmd');
  if (daemonPid === undefined) throw new Error('there is no process ksmd, though the kernel has KSM');
  return daemonPid;
}

/** True when ksmd sleeps (proc_pid_stat(5): state S), not for a lock or a disk. */
function asleep(): boolean {
  return /\) S /.test(readFileSync(`/proc/${daemon()}/stat`, 'utf8'));
}

async function until(complaint: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 5000) throw new Error(complaint);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
