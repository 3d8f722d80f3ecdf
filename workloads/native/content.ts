/**
 * What pages contain that a workload of ours filled, as `content.h` has it: one 64-bit word, 512 times over,
 * which is zero or the scramble of a key. So the host's side knows every page to the last bit.
 */

/** Kinds of content, the first part of a key. */
export const contentKinds = { zero: 0, equal: 1, within: 2, unique: 3, written: 4, private: 15 } as const;

/** A kind of content. */
export type ContentKind = keyof typeof contentKinds;

/** What a page has in every word. The three numbers are below 2^20; see `content.h` for what they stand for. */
export interface ContentKey {
  readonly kind: ContentKind;
  readonly owner: number;
  readonly index: number;
  readonly version: number;
}

const bits = 20n;
const mask = (1n << bits) - 1n;
const word64 = (value: bigint) => BigInt.asUintN(64, value);

/** The word of a key: the finaliser of SplitMix64, which is one to one. */
export function wordOf({ kind, owner, index, version }: ContentKey): bigint {
  if (kind === 'zero') return 0n;
  const parts = [BigInt(owner), BigInt(index), BigInt(version)];
  let value = parts.reduce((sum, part) => (sum << bits) | (part & mask), BigInt(contentKinds[kind]));
  value = word64((value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n);
  value = word64((value ^ (value >> 27n)) * 0x94d049bb133111ebn);
  return value ^ (value >> 31n);
}

/** The key of a word; undefined when no key has it. */
export function keyOf(word: bigint): ContentKey | undefined {
  let value = word64((word ^ (word >> 31n) ^ (word >> 62n)) * 0x319642b2d24d8ec3n);
  value = word64((value ^ (value >> 27n) ^ (value >> 54n)) * 0x96de1b173f119089n);
  value ^= (value >> 30n) ^ (value >> 60n);
  const number = Number(value >> 60n);
  const kind = (Object.keys(contentKinds) as ContentKind[]).find((each) => contentKinds[each] === number);
  if (kind === undefined || (kind === 'zero' && value !== 0n)) return undefined;
  const part = (place: bigint) => Number((value >> (place * bits)) & mask);
  return { kind, owner: part(2n), index: part(1n), version: part(0n) };
}
