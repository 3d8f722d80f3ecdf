/** What the memory of this process consists of, from Linux's `/proc/self/smaps`. */
import { readFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';

/** Resident memory in MiB, by what it is. */
export interface Footprint {
  /** All of it, and the most there was. */
  readonly resident: number;
  readonly peak: number;
  /** The simulated host's memory: frames that guests used, and what else lies in the one WebAssembly memory: code store, tables, vCPUs. */
  readonly simulated: number;
  /** Machine code that V8 made. */
  readonly machineCode: number;
  /** Objects of JavaScript. */
  readonly objects: number;
  /** The program node itself, as far as it was used. */
  readonly node: number;
  /** What V8 and libraries allocate: WebAssembly modules as bytes and as tables, stacks, buffers. */
  readonly rest: number;
}

const mebi = 2 ** 20;

/** Measures, in a process whose host's WebAssembly memory has `simulatedBytes`. */
export function footprint(simulatedBytes: number): Footprint {
  let [resident, simulated, machineCode, node] = [0, 0, 0, 0];
  for (const { size, permissions, name, bytes } of mappings()) {
    resident += bytes;
    if (size === simulatedBytes && permissions.startsWith('rw')) simulated += bytes;
    else if (name !== '') node += /\/node$/.test(name) ? bytes : 0;
    else if (permissions.includes('x')) machineCode += bytes;
  }
  const { total_physical_size: objects } = getHeapStatistics();
  const parts = { simulated, machineCode, objects, node };
  const rest = resident - Object.values(parts).reduce((sum, part) => sum + part);
  const all = { resident, peak: 1024 * process.resourceUsage().maxRSS, ...parts, rest };
  return Object.fromEntries(
    Object.entries(all).map(([name, bytes]) => [name, Math.round(bytes / mebi)]),
  ) as unknown as Footprint;
}

function* mappings(): Generator<{ size: number; permissions: string; name: string; bytes: number }> {
  let mapping = { size: 0, permissions: '', name: '' };
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line);
    if (head !== null) {
      const [, start, end, permissions, name] = head as unknown as [string, string, string, string, string];
      mapping = { size: Number.parseInt(end, 16) - Number.parseInt(start, 16), permissions, name };
    }
    const resident = /^Rss: +(\d+) kB$/.exec(line);
    if (resident !== null) yield { ...mapping, bytes: 1024 * Number(resident[1]) };
  }
}
