/** Workloads that guests can be told to run, with their parameters. What they do is in `workloads/guest/`. */
import { z } from 'zod';
import { size, time, timeSpan } from './units.ts';

const share = z.number().min(0).max(1);
const count = z.int().min(1).max(1_000_000);

/** A workload with its parameters. */
export const workloadObject = z.discriminatedUnion('name', [
  z.strictObject({ name: z.literal('idle') }),
  z.strictObject({
    name: z.literal('toucher'),
    working_set: size.prefault('64MiB').describe('Memory that it touches again and again'),
    write_share: share.default(0.2).describe('Share of the touches that write, 0 to 1'),
    pattern: z.enum(['sequential', 'random']).default('sequential').describe('Order of the touches'),
    pause: time.prefault('100ms').describe('Time between two passes'),
  }),
  z.strictObject({
    name: z.literal('files'),
    size: size.prefault('64MiB').describe('Size of all files together'),
    count: count.default(16).describe('Number of files'),
    pause: time.prefault('100ms').describe('Time between two passes'),
  }),
  z.strictObject({
    name: z.literal('redis'),
    keys: count.default(10_000).describe('Number of keys'),
    value_size: z.int().min(1).max(1_000_000).default(1024).describe('Bytes of a value'),
    clients: z.int().min(1).max(50).default(4).describe('Parallel connections'),
    requests: count.default(10_000).describe('Requests in one round'),
    pause: timeSpan.prefault('1s').describe('Time between two rounds'),
  }),
]);

/** The names of the workloads. */
export const workloadNames = workloadObject.options.map(({ shape }) => shape.name.value);

/** A workload, or its name alone when all its parameters have their defaults. */
export const workload = z
  .union([z.enum(workloadNames), workloadObject])
  .transform((given) => (typeof given === 'string' ? workloadObject.parse({ name: given }) : given))
  .describe('What the guest does: the name of a workload, or its name with parameters');

/** See {@link workloadObject}. */
export type Workload = z.output<typeof workloadObject>;

/** Words of the kernel's command line by which guest number `guest` learns what to do. */
export function workloadWords(given: Workload, guest: number): string[] {
  return [`pagefold.workload=${given.name}`, `pagefold.args=${workloadArguments(given, guest)}`];
}

/** The line by which a running guest is told to begin something else. */
export function startCommand(given: Workload, guest: number): string {
  return `start ${given.name} ${workloadArguments(given, guest)}\n`;
}

function workloadArguments({ name: _, ...parameters }: Workload, guest: number): string {
  const all = { id: guest, ...parameters };
  return Object.entries(all)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}
