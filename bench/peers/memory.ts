/** What memory a process has, from Linux's `/proc` (proc(5)). */
import { open, readFile } from 'node:fs/promises';

const pageSize = 4096;

/** Memory that the process has for itself and its share of what it has in common with others (`Pss`), in bytes. */
export async function processBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return kilobytes(text, 'Pss');
}

/** A mapping that a process has offered for merging (`mg` among its flags), in bytes. */
interface Mapping {
  readonly size: number;
  readonly resident: number;
}

async function mergeableMappings(pid: number): Promise<Mapping[]> {
  const text = await readFile(`/proc/${pid}/smaps`, 'utf8');
  return text
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((mapping) => /^VmFlags:.* mg\b/m.test(mapping))
    .map((mapping) => ({ size: kilobytes(mapping, 'Size'), resident: kilobytes(mapping, 'Rss') }));
}

/** Resident bytes of a guest's RAM in the process of an emulator that keeps it in one mapping of just that size, offered for merging. */
export async function mappedGuestBytes(pid: number, size: number): Promise<number> {
  const ram = (await mergeableMappings(pid)).filter((mapping) => mapping.size === size);
  if (ram.length !== 1)
    throw new Error(`process ${pid} has ${ram.length} mappings of ${size} bytes for merging`);
  return ram[0]!.resident;
}

/** Resident bytes of all that a process has offered for merging: of QEMU the guest's RAM, and the machine's ROMs and ACPI tables. */
export async function mergeableBytes(pid: number): Promise<number> {
  return (await mergeableMappings(pid)).reduce((sum, { resident }) => sum + resident, 0);
}

/** Bytes of an entry of `/proc/PID/pagemap`; of its bits, that the page is there (63) and that it is no other's (56). */
const entrySize = 8;
const [isThere, isOwn] = [0x80, 0x01];

/**
 * Bytes that the operating system has provided in a part of a process's memory: `length` bytes from `from` on in its one mapping of just
 * `size` bytes. Both are multiples of the page size.
 */
export async function residentBytes(
  pid: number,
  size: number,
  from: number,
  length: number,
): Promise<number> {
  const mappings = (await readFile(`/proc/${pid}/maps`, 'utf8'))
    .split('\n')
    .map((line) => (/^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? []).slice(1).map((hex) => Number(`0x${hex}`)))
    .filter(([start, end]) => end! - start! === size);
  if (mappings.length !== 1)
    throw new Error(`process ${pid} has ${mappings.length} mappings of ${size} bytes`);
  const first = (mappings[0]![0]! + from) / pageSize;
  const entries = Buffer.alloc((length / pageSize) * entrySize);
  const file = await open(`/proc/${pid}/pagemap`);
  await file.read(entries, 0, entries.length, first * entrySize);
  await file.close();
  let pages = 0;
  for (let at = entrySize - 1; at < entries.length; at += entrySize)
    if ((entries[at]! & isThere) !== 0 && (entries[at]! & isOwn) !== 0) pages++;
  return pages * pageSize;
}

function kilobytes(text: string, field: string): number {
  const match = new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(text);
  return match === null ? Number.NaN : Number(match[1]) * 1024;
}
