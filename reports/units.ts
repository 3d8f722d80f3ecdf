/** Figures as people read them. */

const pageBytes = 4096;
const mebi = 2 ** 20;
const gibi = 2 ** 30;

/** Pages of 4 KiB as MiB. */
export function pagesToMiB(pages: number): number {
  return (pages * pageBytes) / mebi;
}

/** Bytes as MiB. */
export function bytesToMiB(bytes: number): number {
  return bytes / mebi;
}

/** Bytes as GiB. */
export function bytesToGiB(bytes: number): number {
  return bytes / gibi;
}

/** Nanoseconds as seconds. */
export function toSeconds(ns: number): number {
  return ns / 1e9;
}

/** A number with commas between thousands, and `digits` after the point. */
export function decimal(value: number, digits = 0): string {
  const [whole, fraction] = Math.abs(value).toFixed(digits).split('.') as [string, string?];
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  const text = fraction === undefined ? grouped : `${grouped}.${fraction}`;
  return value < 0 && Number(text.replaceAll(',', '')) !== 0 ? `−${text}` : text;
}

/** A number with about three digits that say something; a whole one has none after the point. */
export function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (Number.isInteger(value)) return decimal(value);
  return decimal(value, size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** Memory in MiB, such as `1,024 MiB`. */
export function mebibytes(mib: number): string {
  return `${threeDigits(mib)} MiB`;
}

/** A share of one in percent; nothing of nothing is `–`. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${decimal((100 * part) / whole, 1)} %`;
}

/** A time in the unit that suits it: ns, µs, ms or s. */
export function duration(ns: number): string {
  const [unit, size] = ns < 1e3 ? ['ns', 1] : ns < 1e6 ? ['µs', 1e3] : ns < 1e9 ? ['ms', 1e6] : ['s', 1e9];
  return `${unit === 'ns' ? decimal(ns, Number.isInteger(ns) ? 0 : 1) : threeDigits(ns / (size as number))} ${unit}`;
}

/** Vega's expression for the labels of an axis of times in ns. */
export const durationLabels =
  "datum.value < 1e3 ? datum.value + ' ns' : datum.value < 1e6 ? datum.value / 1e3 + ' µs' : " +
  "datum.value < 1e9 ? datum.value / 1e6 + ' ms' : datum.value / 1e9 + ' s'";

/** A byte count of a scenario in the largest unit that leaves it whole. */
export function size(bytes: number): string {
  if (bytes > 0 && bytes % gibi === 0) return `${decimal(bytes / gibi)} GiB`;
  if (bytes % mebi === 0) return `${decimal(bytes / mebi)} MiB`;
  return bytes % 1024 === 0 ? `${decimal(bytes / 1024)} KiB` : `${decimal(bytes)} bytes`;
}

/** A number of guests in words. */
export function guestsText(count: number): string {
  return `${decimal(count)} ${count === 1 ? 'guest' : 'guests'}`;
}
