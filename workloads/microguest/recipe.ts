/**
 * The microguest's recipe: what its memory has, and how it is touched. It goes to the guest on the kernel's command line,
 * as the workload `recipe`.
 */
import { z } from 'zod';
import { areaSchema, checkTouching, formatArguments, touchingSchema } from '../area.ts';

/** What the microguest does. Without touching (`rate`), and without changing pages, it sleeps once it is filled. */
export const recipeSchema = touchingSchema
  .extend({
    name: z.literal('recipe'),
    area: areaSchema.default([]).describe('The segments of pages that are filled, in their order'),
  })
  .superRefine(checkTouching);

/** See {@link recipeSchema}. */
export type MicroguestRecipe = z.output<typeof recipeSchema>;

/** The recipe as the arguments of the guest of that number, 0 to 2^20 - 1; every guest of a host needs one of its own. */
export function formatRecipe(guest: number, { name: _, area, ...touching }: MicroguestRecipe): string {
  return formatArguments(guest, area, touching);
}
