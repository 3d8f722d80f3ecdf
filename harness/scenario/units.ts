/** Sizes and times as a scenario writes them, with their units. */
import { z } from 'zod';

const sizeUnits = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
const timeUnits = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, min: 60e9, h: 3600e9 } as const;

/** What a size looks like, for messages. */
export const sizeForm = 'a size with its unit, such as 256MiB, 1.5GiB or 64KiB';
/** What a time looks like, for messages. */
export const timeForm = 'a time with its unit, such as 500ms, 30s or 2min';

const sizePattern = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB|TiB)$/;
const timePattern = /^(\d+(?:\.\d+)?)(ns|us|ms|s|min|h)$/;

function quantity(text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number {
  const [, number, unit] = pattern.exec(text)!;
  // Decimal fractions of these units are whole bytes and ns only after rounding: 0.1 s is 1e8 ns.
  return Math.round(Number(number) * units[unit!]!);
}

function quantitySchema(form: string, pattern: RegExp, units: Readonly<Record<string, number>>) {
  return z
    .string()
    .regex(pattern, form)
    .transform((text) => quantity(text, pattern, units))
    .refine(Number.isSafeInteger, { error: 'too large to be counted exactly' });
}

/** A size, given with its unit; the result is in bytes. */
export const size = quantitySchema(sizeForm, sizePattern, sizeUnits);
/** A time, given with its unit; the result is in virtual ns. */
export const time = quantitySchema(timeForm, timePattern, timeUnits);

/** A size from `least` to `most` bytes, in whole pages of 4 KiB. */
export function sizeWithin(least: number, most: number) {
  const bounds = `${formatSize(least)} to ${formatSize(most)} in whole pages of 4KiB`;
  return size.refine((bytes) => bytes >= least && bytes <= most && bytes % 4096 === 0, {
    error: `impossible here: it must be ${bounds}`,
  });
}

/** Virtual ns of the host's rounds (`hypervisor/host.ts`): nothing that the host does comes in between. */
const round = 100_000;

/** A time at which the host does something, or from one such time to another. */
export const hostTime = time.refine((ns) => ns % round === 0, {
  error: 'finer than the rounds of 100us in which the host goes on',
});
/** As {@link hostTime}, longer than nothing. */
export const hostSpan = hostTime.refine((ns) => ns > 0, { error: 'no time at all' });
/** A time longer than nothing. */
export const timeSpan = time.refine((ns) => ns > 0, { error: 'no time at all' });

function format(value: number, units: Readonly<Record<string, number>>, none: string): string {
  const fitting = Object.entries(units).findLast(([, factor]) => value >= factor && value % factor === 0);
  return fitting === undefined ? `${value}${none}` : `${value / fitting[1]}${fitting[0]}`;
}

/** A size as a scenario writes it; bytes that are no whole KiB stay bytes. */
export function formatSize(bytes: number): string {
  return format(bytes, sizeUnits, ' bytes');
}

/** A time as a scenario writes it. */
export function formatTime(ns: number): string {
  // 23.17s rather than 23170ms.
  if (ns >= 1e9 && ns % 1e9 !== 0 && ns % 1e6 === 0) return `${ns / 1e9}s`;
  return format(ns, timeUnits, 'ns');
}
