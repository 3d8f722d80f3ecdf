/** What memory a process has, from Linux's `/proc` (proc(5)). */
import { readFile } from 'node:fs/promises';

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

function kilobytes(text: string, field: string): number {
  const match = new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(text);
  return match === null ? Number.NaN : Number(match[1]) * 1024;
}
