/** `manifest.json`: what was run, with what, and whether it came to its end. */
import { z } from 'zod';
import { formatVersion } from './names.ts';

const natural = z.int().nonnegative();

/** A workload of a guest, with its parameters as the scenario gives them (sizes in bytes, times in ns). */
export const workloadSchema = z.looseObject({ name: z.string() });

/**
 * What a report needs to know of the scenario; the rest of it stands there as the scenario has it. All defaults are
 * filled in, times are in virtual ns and sizes in bytes.
 */
export const resolvedScenarioSchema = z.looseObject({
  name: z.string(),
  seed: natural,
  duration: natural,
  sample: natural,
  host: z.looseObject({
    memory: natural,
    cpus: natural,
    /** `off`, or the device and its size. */
    swap: z.union([z.literal('none'), z.looseObject({ size: natural, device: z.string() })]),
    /** `off`, or the scanner and its knobs. */
    ksm: z.union([z.literal('off'), z.looseObject({ scanner: z.string(), start: natural })]),
    balloon: z.looseObject({ policy: z.string() }),
  }),
  guests: z.array(
    z.looseObject({
      name: z.string(),
      count: natural,
      image: z.string(),
      memory: natural,
      cpus: natural,
      workload: workloadSchema,
    }),
  ),
  slo: z.record(z.string(), natural).optional(),
});

/** A guest image that a run used. */
export const imageSchema = z.strictObject({
  name: z.string(),
  /** SHA-256 that stands for the image's whole content. */
  digest: z.string(),
  /** Packages that it was made from. */
  packages: z.array(z.strictObject({ name: z.string(), version: z.string() })),
});

/** Schema of `manifest.json`. */
export const manifestSchema = z.strictObject({
  formatVersion: z.literal(formatVersion),
  /** Digest of everything that the results depend on; the folder's name ends by its first digits. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  pagefold: z.strictObject({
    version: z.string(),
    /** The commit of the checkout, with `-changed` when files differ from it; null outside a checkout. */
    commit: z.string().nullable(),
  }),
  scenario: resolvedScenarioSchema,
  /** Parameters of a sweep's cell, path to value as the sweep gives them; empty outside a sweep. */
  parameters: z.record(z.string(), z.json()),
  /** Names of the guests in the order of their numbers, with the group of the scenario that each belongs to. */
  guests: z.array(z.strictObject({ name: z.string(), group: natural, memory: natural })),
  images: z.array(imageSchema),
  /** Constants of the cost model by name, in ns. */
  costs: z.record(z.string(), z.number()),
  /** The machine that ran it. No figure depends on it. */
  machine: z.strictObject({
    cpu: z.string(),
    cores: natural,
    memory: natural,
    system: z.string(),
    node: z.string(),
    workers: natural,
  }),
  /** Wall time, ISO 8601. It stands nowhere else. */
  started: z.iso.datetime(),
  finished: z.iso.datetime().nullable(),
  /** The most memory that the process had until then, in bytes: its peak resident set. Null as long as the run goes on. */
  peakMemory: natural.nullable(),
  /** Whether the run came to its end. */
  complete: z.boolean(),
  /** Why it did not; null when it did. */
  reason: z.string().nullable(),
  /** SHA-256 of every file of a whole run but this one and the report's. */
  files: z.record(z.string(), z.string()),
});

/** See {@link manifestSchema}. */
export type Manifest = z.infer<typeof manifestSchema>;
/** See {@link resolvedScenarioSchema}. */
export type RecordedScenario = z.infer<typeof resolvedScenarioSchema>;
/** See {@link imageSchema}. */
export type RecordedImage = z.infer<typeof imageSchema>;
