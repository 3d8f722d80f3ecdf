/** What memory a process has, from Linux's `/proc` (proc(5)). */
import { readFile } from 'node:fs/promises';

/** Memory that the process has for itself and its share of what it has in common with others (`Pss`), in bytes. */
export async function processBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return kilobytes(text, 'Pss');
}

/**
 * Resident bytes of a guest's RAM in the process of an emulator that keeps it in one mapping of just that size, which it has
 * offered for merging (`mg` among the flags).
 */
export async function mappedGuestBytes(pid: number, size: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps`, 'utf8');
  const mappings = text.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const ram = mappings.filter(
    (mapping) => kilobytes(mapping, 'Size') === size && /^VmFlags:.* mg\b/m.test(mapping),
  );
  if (ram.length !== 1)
    throw new Error(`process ${pid} has ${ram.length} mappings of ${size} bytes for merging`);
  return kilobytes(ram[0]!, 'Rss');
}

function kilobytes(text: string, field: string): number {
  const match = new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(text);
  return match === null ? Number.NaN : Number(match[1]) * 1024;
}
