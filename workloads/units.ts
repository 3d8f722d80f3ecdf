/** Sizes, times and shares as a scenario writes them. */
import { z } from 'zod';

const sizeUnits = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const;
const timeUnits = { ms: 1, s: 1e3, min: 60e3, h: 3600e3 } as const;

/** Bytes of a page. */
export const pageBytes = 4096;

function quantity(text: string, units: Readonly<Record<string, number>>): number {
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]+)$/.exec(text);
  const unit = match === null ? undefined : units[match[2]!];
  // Decimal fractions of these units are whole numbers only after rounding.
  return unit === undefined ? Number.NaN : Math.round(Number(match![1]) * unit * 1e6) / 1e6;
}

/** Memory, as a number of pages of 4 KiB or a size with its unit; the result is in pages. */
export const pages = z
  .union([z.int().nonnegative(), z.string().transform((text) => quantity(text, sizeUnits) / pageBytes)])
  .refine((count) => Number.isSafeInteger(count) && count >= 0, {
    error: 'a number of pages, or a size in whole pages of 4KiB such as 64MiB',
  });

/** A time with its unit; the result is in ms. */
export const milliseconds = z
  .string()
  .transform((text) => quantity(text, timeUnits))
  .refine((ms) => Number.isSafeInteger(ms) && ms > 0, {
    error: 'a time of at least 1ms with its unit, such as 500ms, 30s or 2min',
  });

/** A share from 0 to 1, in steps of a hundredth; the result is in percent. */
export const percent = z
  .number()
  .min(0)
  .max(1)
  .transform((share) => Math.round(share * 100e6) / 1e6)
  .refine(Number.isInteger, { error: 'a share from 0 to 1 with at most two decimals' });
