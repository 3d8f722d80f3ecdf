/**
 * `result.json`: the summary of a run. It holds nothing that depends on the machine or the day: two runs of the same
 * scenario, images and version have the same bytes here. A figure whose part is not in use (no swap, no merging) is
 * left out rather than written as zero.
 */
import { z } from 'zod';
import { formatVersion } from './names.ts';

const figure = (meaning: string) => z.number().describe(meaning);
const figures = (meaning: string) => z.record(z.string(), z.number()).describe(meaning);

/** A distribution of times. */
export const distributionSchema = z
  .strictObject({
    count: figure('How many there were'),
    p50_ns: figure('Half of them took no longer'),
    p90_ns: figure('90 % took no longer'),
    p99_ns: figure('99 % took no longer'),
    p999_ns: figure('99.9 % took no longer'),
    max_ns: figure('The longest'),
  })
  .describe('A distribution of times, in virtual ns');

const merging = z
  .strictObject({
    saved_byte_seconds: figure('Bytes saved by merging, over time: byte-seconds'),
    saved_peak_bytes: figure('Most bytes saved at a time'),
    lifetime: distributionSchema.optional().describe('How long merges lasted, of those that have ended'),
    duplicate_to_merge: distributionSchema
      .optional()
      .describe('From the sample in which a page was first found to be a duplicate to its merge'),
    unsampled: figure('Merges of pages that were no duplicates in the sample before: of no known wait'),
  })
  .describe('What was measured of merging, from the start of the run');

const latencies = z.strictObject({
  fault: z
    .record(z.string(), distributionSchema)
    .describe('Time that vCPUs waited for the host, by cause (see latency.csv); `all` for all causes'),
  application: z
    .record(z.string(), distributionSchema)
    .describe('What the workload measured by the guest’s clock, by operation'),
});

const guestResult = z.strictObject({
  state: z.string().describe('State at the end: waiting, booting, up, ended or failed'),
  memory_bytes: figure('RAM that the guest was promised'),
  figures: figures('The last sample of every numeric column of guests.csv, by its name'),
  latency: latencies,
});

/** Schema of `result.json`. */
export const resultSchema = z
  .strictObject({
    formatVersion: z.literal(formatVersion),
    name: z.string().describe('Name of the scenario'),
    digest: z.string().describe('Digest of all that the figures depend on'),
    complete: z.boolean().describe('Whether the run came to its end'),
    reason: z.string().nullable().describe('Why it did not; null when it did'),
    virtual_ns: figure('Virtual time that was run'),
    samples: figure('Number of samples'),
    host: z
      .strictObject({
        memory_bytes: figure('Memory of the host'),
        frames: figures('Frames by class at the last sample, in pages'),
        peak: figures('Largest value of figures over all samples: used_pages, believed_bytes, guests_up'),
        saved: figures(
          'Pages saved at the last sample, by technique: merged, zero, ballooned, swapped, reported',
        ),
        oracle: figures(
          'What ideal merging would save, and why it is not saved, at the last sample, in pages',
        ),
        merging: merging.optional(),
        swap: figures('Slots in use, and pages swapped in and out over the run'),
        cpu: figures('Virtual ns of physical CPUs over the run: guests, ksmd, kswapd, idle'),
        figures: figures('The last sample of every other numeric column of samples.csv, by its name'),
        latency: latencies,
      })
      .describe('The host'),
    ksm: figures('The scanner’s counters at the last sample, under Linux’s names'),
    guests: z.record(z.string(), guestResult).describe('The guests, by name'),
    slo: z
      .array(
        z.strictObject({
          name: z.string().describe('Which bound of the scenario’s slo'),
          bound_ns: figure('The bound'),
          value_ns: z.number().nullable().describe('What was measured; null when nothing was'),
          met: z.boolean(),
        }),
      )
      .describe('The scenario’s bounds, and whether they were met'),
  })
  .describe('Summary of a run of pagefold');

/** See {@link resultSchema}. */
export type Result = z.infer<typeof resultSchema>;
/** See {@link distributionSchema}. */
export type Distribution = z.infer<typeof distributionSchema>;

/** The JSON Schema of `result.json`, as it stands in `result.schema.json`. */
export function resultJsonSchema(): object {
  return z.toJSONSchema(resultSchema, { target: 'draft-2020-12' });
}
