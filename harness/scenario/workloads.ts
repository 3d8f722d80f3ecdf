/** Workloads in a scenario: by name alone or with parameters, and whether a guest can be told to run them. */
import { z } from 'zod';
import {
  type Workload,
  WorkloadError,
  type WorkloadName,
  workloadParameters,
  workloadSchema,
  workloads,
} from '../../workloads/catalog.ts';

const names = Object.keys(workloads) as WorkloadName[];

/** A workload, or its name alone when all its parameters have their defaults. */
export const workload = z
  .union([z.enum(names), workloadSchema])
  .transform((given) => (typeof given === 'string' ? workloadSchema.parse({ name: given }) : given))
  .describe('What the guest does: the name of a workload, or its name with parameters');

/** A guest's number has no more digits. */
const longestNumber = 9999;

/** Why a guest of an image cannot be told to run a workload; undefined when it can. */
export function workloadProblem(given: Workload, image: string): string | undefined {
  // One of stated content is of the recipe before the digest.
  if (!workloads[given.name].runsOn(image.replace(/@.*/, ''))) {
    return `the image ${image} does not have the workload ${given.name}`;
  }
  try {
    workloadParameters(given, longestNumber);
    return undefined;
  } catch (error) {
    if (!(error instanceof WorkloadError)) throw error;
    return error.message;
  }
}
