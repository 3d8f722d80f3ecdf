import test from 'ava';
import fc from 'fast-check';
import { pageSize } from '../../memory/hostmemory.ts';
import { hasBit, mayBeAddress, mayLeadToStart, RelocationFinder } from './relocation.ts';

const unit = 0x20_0000;

/** Three pages of a kernel, of which the middle one is compared, and the words in them that move: [place of the first byte, way]. */
interface Text {
  readonly bytes: Uint8Array;
  readonly words: readonly (readonly [at: number, way: 1 | -1])[];
}

const text: fc.Arbitrary<Text> = fc
  .record({
    filling: fc.uint8Array({ minLength: 64, maxLength: 64 }),
    words: fc.uniqueArray(
      fc.tuple(
        fc.oneof(
          fc.integer({ min: pageSize - 8, max: pageSize + 8 }),
          // What moves of a word across the page's end is in the next page.
          fc.integer({ min: 2 * pageSize - 8, max: 2 * pageSize - 5 }),
          fc.integer({ min: pageSize, max: 2 * pageSize - 5 }),
        ),
        fc.constantFrom(1 as const, -1 as const),
        // Far enough from the ends of what looks like an address, however it moves.
        fc.integer({ min: 0x1000_0000, max: 0x2fff_ffff }),
      ),
      { selector: ([at]) => at >> 3, maxLength: 60 },
    ),
    shift: fc.integer({ min: 0, max: 7 }),
  })
  .map(({ filling, words, shift }) => {
    const bytes = new Uint8Array(3 * pageSize);
    for (let i = 0; i < bytes.length; i++) bytes[i] = filling[i % filling.length]!;
    const view = new DataView(bytes.buffer);
    const place = (at: number) => (at & ~7) - shift;
    for (const [at, way, value] of words)
      view.setInt32(place(at), way === 1 ? value - 0x8000_0000 : value + 0x3000_0000, true);
    return { bytes, words: words.map(([at, way]) => [place(at), way] as const) };
  });

/** The same text loaded elsewhere. */
function moved({ bytes, words }: Text, slide: number): Uint8Array {
  const result = bytes.slice();
  const view = new DataView(result.buffer);
  for (const [at, way] of words) view.setInt32(at, view.getInt32(at, true) + way * slide, true);
  return result;
}

const slides = fc.integer({ min: -64, max: 64 }).map((n) => n * unit);

/** Both texts in one array, as the finder takes them: the middle pages are at the two places. */
function together(text: Text, slide: number): [Uint8Array, number, number] {
  const both = new Uint8Array(6 * pageSize);
  both.set(text.bytes);
  both.set(moved(text, slide), 3 * pageSize);
  return [both, pageSize, 4 * pageSize];
}

test('a page of a kernel at another address is recognized, and which of its words move', (t) => {
  const finder = new RelocationFinder();
  fc.assert(
    fc.property(text, slides, (each, slide) => {
      const [bytes, a, b] = together(each, slide);
      t.true(finder.compare(bytes, a, b, slide));
      if (slide === 0) return;
      const { forward, backward } = finder.moved;
      for (const [at, way] of each.words) {
        const last = at + 3 - pageSize;
        if (last < 0 || last >= pageSize) continue;
        // Of a word that is only partly in the page, the other bytes may be the ones that differ.
        if (last < 3 && (slide >> 24 === 0 || last < 1)) continue;
        t.true(hasBit(way === 1 ? forward : backward, last), `word at ${at} by ${slide}`);
      }
    }),
    { numRuns: 300 },
  );
});

test('a page that differs in anything else is another one', (t) => {
  const finder = new RelocationFinder();
  fc.assert(
    fc.property(
      text,
      slides,
      fc.nat({ max: pageSize - 1 }),
      fc.integer({ min: 1, max: 0x1f }),
      (each, slide, at, change) => {
        const [bytes, a, b] = together(each, slide);
        // A change of low bits is no part of such a slide; in the upper bytes of a word that moves it might be.
        if (slide % (8 * unit) === 0) return;
        const inWord = each.words.some(([word]) => word - pageSize - 4 <= at && at <= word - pageSize + 7);
        if (inWord || at < 4 || at > pageSize - 5) return;
        bytes[b + at]! ^= change;
        t.false(finder.compare(bytes, a, b, slide));
      },
    ),
    { numRuns: 300 },
  );
});

test('the slide is found by the first address', (t) => {
  const finder = new RelocationFinder();
  const bytes = new Uint8Array(2 * pageSize);
  const view = new DataView(bytes.buffer);
  for (const at of [100, 200]) view.setUint32(at, 0x8123_4567, true);
  for (const at of [100, 200]) view.setUint32(pageSize + at, 0x8123_4567 + 5 * unit, true);
  t.true(finder.compare(bytes, 0, pageSize, undefined));
  t.is(finder.slide, 5 * unit);
  t.true(finder.compare(bytes, 0, 0, undefined));
  t.is(finder.slide, 0);
  t.false(finder.compare(bytes, 0, pageSize, unit));
  // One of two words that moves by another distance.
  view.setUint32(pageSize + 200, 0x8123_4567 + 6 * unit, true);
  t.false(finder.compare(bytes, 0, pageSize, undefined));
});

test('what looks like an address is in the upper 2 GiB and within the text mapping', (t) => {
  t.true(mayBeAddress(0x8100_0000 | 0));
  t.false(mayBeAddress(-1));
  t.false(mayBeAddress(0x1000));
  t.true(mayLeadToStart(0x7f00_0000));
  t.false(mayLeadToStart(0x1000));
});
