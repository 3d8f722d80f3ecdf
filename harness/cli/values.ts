/** Reads the values of options. Each throws {@link UserError} that names the option and the remedy. */
import { UserError } from '../../workloads/images/user-error.ts';

const units = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** A size in bytes: `256M`, `256MiB`, `1G`, `512K`. Units are powers of 1024. */
export function parseSize(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMG])(?:iB|B)?$/i.exec(text);
  const bytes = match === null ? 0 : Number(match[1]) * units[match[2]!.toUpperCase() as 'K' | 'M' | 'G'];
  if (!Number.isSafeInteger(bytes) || bytes === 0) {
    throw new UserError({
      file: `${option} ${text}`,
      cause: 'not a size in whole bytes',
      remedy: 'give a number and a unit: 256M, 1G, 65536K',
    });
  }
  return bytes;
}

/** A whole number from `least` to `most`. */
export function parseInteger(option: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw new UserError({
      file: `${option} ${text}`,
      cause: `not a whole number from ${least} to ${most}`,
      remedy: 'give one',
    });
  }
  return value;
}

/** A size for people: `16.1 MiB`. */
export function formatSize(bytes: number): string {
  if (bytes < units.K) return `${bytes} bytes`;
  const [unit, name] =
    bytes < units.M ? [units.K, 'KiB'] : bytes < units.G ? [units.M, 'MiB'] : [units.G, 'GiB'];
  return `${(bytes / unit).toFixed(1)} ${name}`;
}
