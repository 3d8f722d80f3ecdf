/** Values of knobs as text, read as Linux's sysfs reads them. */
import { KnobError, type KnobValue } from './scanner.ts';

/** The text that one would write to sysfs for a value. */
export function knobText(value: KnobValue): string {
  return typeof value === 'boolean' ? String(Number(value)) : String(value);
}

/**
 * An unsigned decimal number of at most `bits` bits: a `+` before it and one line end behind it are allowed, and nothing else.
 * Throws {@link KnobError} with EINVAL, or `tooLarge` when the number has more bits.
 */
export function parseUnsigned(
  name: string,
  value: KnobValue,
  bits: number,
  tooLarge: 'EINVAL' | 'ERANGE' = 'EINVAL',
): bigint {
  const text = knobText(value);
  const digits = /^\+?(\d+)\n?$/.exec(text)?.[1];
  if (digits === undefined) {
    throw new KnobError('EINVAL', `${name} is ${JSON.stringify(text)}; give a whole number from 0 on`);
  }
  const number = BigInt(digits);
  if (number >= 1n << BigInt(bits)) {
    throw new KnobError(tooLarge, `${name} is ${digits}; at most ${(1n << BigInt(bits)) - 1n} is possible`);
  }
  return number;
}

/** A truth value by its first letters: 1, y, t, on; 0, n, f, off. Throws {@link KnobError}. */
export function parseBoolean(name: string, value: KnobValue): boolean {
  const text = knobText(value);
  if (/^([1yt]|on)/i.test(text)) return true;
  if (/^([0nf]|of)/i.test(text)) return false;
  throw new KnobError('EINVAL', `${name} is ${JSON.stringify(text)}; give 0 or 1`);
}
