/** Where the figures come from: what was run, with what, on what. */
import type { Run } from '../run.ts';
import { decimal, size, threeDigits } from '../units.ts';
import type { Table } from './table.ts';

/** See the top of this file. */
export function originTable(runs: readonly Run[]): Table {
  const facts = runs.map(factsOf);
  const names = [...new Set(facts.flatMap((each) => [...each.keys()]))];
  return {
    id: 'origin',
    title: 'Where the figures come from',
    note: 'The same scenario, seed, images and version give the same figures on every machine. Wall time, memory of the process and machine have no part in them.',
    head: ['', ...runs.map(({ label }) => label)],
    figures: [false, ...runs.map(() => false)],
    body: names.map((name) => [name, ...facts.map((each) => each.get(name) ?? '–')]),
    rows: names.flatMap((fact) =>
      facts.map((each, at) => ({ fact, run: runs[at]!.label, value: each.get(fact) ?? null })),
    ),
  };
}

function factsOf({ data, samples }: Run): Map<string, string> {
  const { scenario, ...manifest } = data.manifest;
  const { host } = scenario;
  const settings = (value: object) =>
    Object.entries(value)
      .map(([name, part]) => `${name} ${typeof part === 'object' ? JSON.stringify(part) : part}`)
      .join(', ');
  const swap = host.swap === 'none' ? 'none' : settings({ ...host.swap, size: size(host.swap.size) });
  const ksm =
    host.ksm === 'off' ? 'off' : settings({ ...host.ksm, start: `${threeDigits(host.ksm.start / 1e9)} s` });
  return new Map([
    ['scenario', scenario.name],
    ['seed', String(scenario.seed)],
    ['state', manifest.complete ? 'whole' : `partial: ${manifest.reason ?? 'the run did not end'}`],
    ['virtual time', `${threeDigits(scenario.duration / 1e9)} s, ${decimal(samples.length)} samples`],
    ['host', `${size(host.memory)}, ${host.cpus} CPUs`],
    ['merging', ksm],
    ['balloon', settings(host.balloon)],
    ['swap', swap],
    ...scenario.guests.map(({ name, count, image, memory, cpus, workload }): [string, string] => [
      `guests ${name}`,
      `${count} × ${size(memory)}, ${cpus} vCPU, ${image}, workload ${workload.name}`,
    ]),
    ...manifest.images.map(({ name, digest, packages }): [string, string] => [
      `image ${name}`,
      `${digest.slice(0, 16)}…, ${packages.map((each) => `${each.name} ${each.version}`).join(', ')}`,
    ]),
    ['cost constants (ns)', settings(manifest.costs)],
    [
      'pagefold',
      `${manifest.pagefold.version}${manifest.pagefold.commit === null ? '' : `, ${manifest.pagefold.commit}`}`,
    ],
    ['digest', manifest.digest],
    ['machine', `${manifest.machine.cpu}, ${manifest.machine.cores} cores, Node ${manifest.machine.node}`],
    ['wall time', `${manifest.started} to ${manifest.finished ?? '–'}`],
    ['memory of the process', manifest.peakMemory === null ? '–' : size(manifest.peakMemory)],
  ]);
}
