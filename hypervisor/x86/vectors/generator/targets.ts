/** Where memory operands go: aligned and not, across pages, past the end of segments and mapped memory, non-canonical. */
import {
  type LocalName,
  layouts,
  localDescriptors,
  localSelector,
  type Region,
  userSelectors,
} from '../layout.ts';
import type { Random } from '../random.ts';
import type { Draft, Mode } from './draft.ts';

/** How far to stray from plain, mapped, writable memory. `tame` never faults, except on alignment. */
export type Manners = 'tame' | 'wild';

function placeIn(region: Region, size: number, aligned: boolean, random: Random, manners: Manners): number {
  const end = region.linear + region.pages * 4096;
  const room = end - region.linear - size;
  const kind = random.below(100);
  const step = !aligned ? 1 : size > 512 ? 64 : 16; // XSAVE wants 64
  const within = Math.floor(random.below(room + 1) / step) * step;
  if (manners === 'tame') return region.linear + within;
  if (kind < 60) {
    const natural = aligned ? step : Math.min(size, 16);
    return region.linear + Math.floor(within / natural) * natural;
  }
  if (kind < 84 || size < 2) return region.linear + within;
  const straddle = size === 1 ? 0 : 1 + random.below(size - 1);
  if (kind < 91 && region.pages > 1)
    return region.linear + 4096 * (1 + random.below(region.pages - 1)) - straddle;
  if (kind < 94) return end - straddle;
  if (kind < 96) return region.linear - straddle;
  if (kind < 98) return end + random.below(4096);
  return region.linear + within;
}

function region(mode: Mode, name: string): Region {
  const regions: readonly Region[] = layouts[mode === 'long' ? 'long' : 'legacy'];
  return regions.find((each) => each.name === name)!;
}

export { region as regionOf };

/**
 * A linear address for an operand in 64-bit mode. `reach` 32: expressible as a sign-extended 32-bit displacement; 'zero32': as an
 * unsigned one.
 */
export function longTarget(
  random: Random,
  size: number,
  aligned: boolean,
  manners: Manners,
  reach: 64 | 32 | 'zero32',
): bigint {
  if (reach === 64 && manners === 'wild' && random.oneIn(40)) {
    // Non-canonical: bits 63 to 47 neither all zero nor all one. The last bytes below the hole, too.
    return random.pick([
      0x8000_0000_0000n,
      0x0123_4567_89ab_cdefn,
      0xfedc_0000_0000_0000n,
      0xffff_7fff_ffff_fff8n,
    ]);
  }
  const names =
    reach === 32
      ? ['low']
      : reach === 'zero32'
        ? ['middle', 'low']
        : ['data', 'data', 'data', 'data', 'data', 'low', 'stack'];
  const name = manners === 'wild' && reach === 64 && random.oneIn(20) ? 'constant' : random.pick(names);
  return BigInt(placeIn(region('long', name), size, aligned, random, manners));
}

/** The regions that each selector for compatibility mode reaches. */
const reachable: readonly (readonly [number, readonly string[]])[] = [
  [userSelectors.data, ['data', 'data', 'stack', 'constant']],
  [userSelectors.code32, ['data', 'code', 'constant']],
  ...Object.entries({
    code32: ['data', 'code'],
    data32: ['data', 'data', 'stack', 'constant'],
    code16: ['code'],
    data16: ['data'],
    stack16: ['stack'],
    wrap16: ['wrapLow', 'wrapHigh'],
    code32based: ['code'],
    data32limited: ['data'],
    readOnly: ['data'],
    expandDown32: ['data'],
    expandDown16: ['data'],
    codeOnly: ['code'],
    conformingAbsent: ['code'],
    dataAbsent: ['data'],
    codeAbsent: ['code'],
    tiny: ['data'],
    stack32based: ['stack'],
  } satisfies Record<LocalName, readonly string[]>).map(
    ([name, regions]) => [localSelector(name as LocalName), regions] as const,
  ),
];

/** Selectors for data accesses of 32-bit and of 16-bit code; the plain ones several times. */
export const dataSelectors: Record<'compat32' | 'compat16', readonly LocalName[]> = {
  compat32: [
    'data32',
    'data32',
    'data32',
    'data32',
    'data32limited',
    'expandDown32',
    'readOnly',
    'code32',
    'stack32based',
  ],
  compat16: [
    'data16',
    'data16',
    'data16',
    'data16',
    'wrap16',
    'expandDown16',
    'readOnly',
    'stack16',
    'code16',
  ],
};

/** A linear address for an operand through a segment of compatibility mode. */
export function legacyTarget(
  draft: Draft,
  segment: number,
  size: number,
  aligned: boolean,
  manners: Manners,
): number {
  const { random } = draft;
  const selector = draft.selector(segment) | 3;
  const names = reachable.find(([each]) => each === selector)?.[1] ?? ['data'];
  const [name] = manners === 'tame' ? names : [random.pick(names)];
  const linear = placeIn(region(draft.mode, name!), size, aligned, random, manners);
  if (manners === 'wild' && random.oneIn(30)) {
    const local = Object.values(localDescriptors)[selector >> 3];
    if ((selector & 4) !== 0 && local !== undefined) {
      // About the segment's limit, from either side.
      const limit = local.pages ? local.limit * 4096 + 4095 : local.limit;
      return local.base + limit + 1 - random.below(size + 2);
    }
  }
  return linear;
}
