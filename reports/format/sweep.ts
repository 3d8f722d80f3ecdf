/** `sweep.json`: what the runs of a sweep or a density search have in common, and which run folder is which cell. */
import { z } from 'zod';
import { formatVersion } from './names.ts';

const natural = z.int().nonnegative();

/** Schema of a cell: one run. */
export const cellSchema = z.strictObject({
  /** Path in the scenario to its value, as the sweep gives it. */
  parameters: z.record(z.string(), z.json()),
  /** Name of the run's folder within this one; null while it has not been run. */
  folder: z.string().nullable(),
  /** Whether the run came to its end. */
  complete: z.boolean(),
});

/** Schema of what a density search found for one policy. */
export const densitySchema = z.strictObject({
  /** Short name of the policy: `none`, `ksm`, `balloon`, `ksm+balloon`, each with `+swap` or not. */
  policy: z.string(),
  /** Largest number of guests that met every bound; 0 when one did not. */
  guests: natural,
  /** False when the search ended by its upper limit, so that more might fit. */
  exact: z.boolean(),
  /** Memory of the host in bytes. */
  host_memory: natural,
  /** Numbers of guests that were tried, with the cell's folder and the bounds that were missed. */
  tried: z.array(
    z.strictObject({ guests: natural, folder: z.string(), fits: z.boolean(), missed: z.array(z.string()) }),
  ),
});

/** Schema of `sweep.json`. */
export const sweepSchema = z.strictObject({
  formatVersion: z.literal(formatVersion),
  kind: z.enum(['sweep', 'density']),
  name: z.string(),
  /** Digest of scenario, images and version. */
  digest: z.string(),
  /** The swept paths, in the scenario's order, with their values. */
  axes: z.array(z.strictObject({ path: z.string(), values: z.array(z.json()) })),
  cells: z.array(cellSchema),
  /** What a density search found, a row a policy; left out of a sweep. */
  density: z.array(densitySchema).optional(),
  complete: z.boolean(),
});

/** See {@link sweepSchema}. */
export type Sweep = z.infer<typeof sweepSchema>;
/** See {@link cellSchema}. */
export type SweepCell = z.infer<typeof cellSchema>;
/** See {@link densitySchema}. */
export type Density = z.infer<typeof densitySchema>;
