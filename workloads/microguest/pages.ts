/**
 * What every page of a microguest has, computed from its recipe: the reference for tests of merging. A page is described
 * by a text that two pages have in common exactly when their bytes are the same.
 */
import type { Segment } from '../area.ts';
import type { MicroguestImage } from './image.ts';

/** A page that has a frame once the guest is filled. All others were never touched. */
export interface PageContent {
  /** Guest-physical page number. */
  readonly page: number;
  /** Equal for equal pages, of all microguests of one host. */
  readonly content: string;
  /** Whether the guest goes on changing it. */
  readonly changes: boolean;
}

/** The loader's pages that the microguest makes zero: GDT, zero page, entropy, command line. */
const zeroed = [0x1, 0x2, 0x3, 0x20];
/** The loader's page tables, and the ACPI tables of a machine with one CPU: the same in every guest. */
const loaderConstant = [0x9, 0xa, 0xb, 0xc, 0xd, 0xe, 0xe0, 0xe1];

/**
 * The pages of a guest with one CPU as they are filled and before any is written again, by page number.
 * @param guest the guest's number
 */
export function microguestPages(
  image: MicroguestImage,
  guest: number,
  area: readonly Segment[],
): readonly PageContent[] {
  const page = (number: number, content: string, changes = false): PageContent => {
    return { page: number, content, changes };
  };
  const range = ({ first, count }: { first: number; count: number }) =>
    Array.from({ length: count }, (_, index) => first + index);
  const pages = [
    ...zeroed.map((number) => page(number, 'zero')),
    ...[...loaderConstant, ...range(image.constant)].map((number) => page(number, `constant ${number}`)),
    ...range(image.private).map((number) => page(number, `private ${guest} ${number}`, true)),
  ];
  let index = 0;
  for (const segment of area) {
    const { count, content } = describeSegment(segment, guest, index);
    for (let within = 0; within < count; within++) {
      pages.push(page(image.area + index++, content(within), 'changing' in segment));
    }
  }
  return pages.sort((a, b) => a.page - b.page);
}

/** How many pages a segment has, and what each of them; `first` is the index of its first page in the area. */
function describeSegment(
  segment: Segment,
  guest: number,
  first: number,
): { count: number; content: (within: number) => string } {
  const unique = (within: number) => `unique ${guest} ${first + within}`;
  if ('zero' in segment) return { count: segment.zero, content: () => 'zero' };
  if ('equal' in segment) {
    return { count: segment.equal, content: (within) => `equal ${segment.set} ${within}` };
  }
  if ('within' in segment) {
    return { count: segment.within, content: (within) => `within ${guest} ${within % segment.groups}` };
  }
  if ('unique' in segment) return { count: segment.unique, content: unique };
  return { count: 'changing' in segment ? segment.changing : segment.freed, content: unique };
}

/** What a perfect scanner makes of guests' pages: how many are alike. */
export interface Alike {
  /** Contents that more than one page has. */
  readonly shared: number;
  /** Pages that could go when each content is kept once. */
  readonly sharing: number;
  /** Of all pages, those of zeros. */
  readonly zero: number;
  /** Of all pages, those like no other. */
  readonly unshared: number;
}

/** Counts pages that are alike, in all guests together; pages that change are like no other. */
export function countAlike(guests: readonly (readonly PageContent[])[]): Alike {
  const counts = new Map<string, number>();
  let changing = 0;
  for (const { content, changes } of guests.flat()) {
    if (changes) changing++;
    else counts.set(content, (counts.get(content) ?? 0) + 1);
  }
  const groups = [...counts.values()].filter((count) => count > 1);
  return {
    shared: groups.length,
    sharing: groups.reduce((sum, count) => sum + count - 1, 0),
    zero: counts.get('zero') ?? 0,
    unshared: counts.size - groups.length + changing,
  };
}
