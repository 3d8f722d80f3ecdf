/**
 * How wide text is in a TrueType font. Vega lays a chart out by the width of its labels; without a browser it guesses
 * that every character is as wide as a capital W.
 */
import { readFileSync } from 'node:fs';

/** Widths of characters in one font, in parts of its size. */
export interface FontMetrics {
  /** Width of a text at a size of one. */
  width(text: string): number;
  /** Whether the font has a glyph for a character. */
  has(character: string): boolean;
}

/** Reads the advance widths of a TrueType font (OpenType 1.9: `head`, `hhea`, `hmtx`, and `cmap` format 4 or 12). */
export function readFontMetrics(path: string): FontMetrics {
  const font = readFileSync(path);
  const tables = new Map<string, number>();
  for (let at = 12, left = font.readUInt16BE(4); left > 0; left--, at += 16) {
    tables.set(font.toString('latin1', at, at + 4), font.readUInt32BE(at + 8));
  }
  const table = (name: string) => {
    const offset = tables.get(name);
    if (offset === undefined) throw new Error(`${path}: the font has no table ${name}`);
    return offset;
  };
  const unitsPerEm = font.readUInt16BE(table('head') + 18);
  const metrics = font.readUInt16BE(table('hhea') + 34);
  const hmtx = table('hmtx');
  const glyphOf = characterMap(font, table('cmap'), path);
  const advance = (glyph: number) => font.readUInt16BE(hmtx + 4 * Math.min(glyph, metrics - 1));
  const known = new Map<string, number>();
  const widthOf = (character: string) => {
    let width = known.get(character);
    if (width === undefined) {
      width = advance(glyphOf(character.codePointAt(0)!)) / unitsPerEm;
      known.set(character, width);
    }
    return width;
  };
  return {
    width(text) {
      let sum = 0;
      for (const character of text) sum += widthOf(character);
      return sum;
    },
    has: (character) => glyphOf(character.codePointAt(0)!) !== 0,
  };
}

/** The font's map from characters to glyphs: its format 12, which has all characters, or else its format 4. */
function characterMap(font: Buffer, cmap: number, path: string): (character: number) => number {
  const subtables = Array.from({ length: font.readUInt16BE(cmap + 2) }, (_, index) => {
    const offset = cmap + font.readUInt32BE(cmap + 4 + 8 * index + 4);
    return { offset, format: font.readUInt16BE(offset) };
  });
  const full = subtables.find(({ format }) => format === 12);
  if (full !== undefined) return (character) => groupedGlyph(font, full.offset, character);
  const basic = subtables.find(({ format }) => format === 4);
  if (basic === undefined) throw new Error(`${path}: the font has no character map of format 4 or 12`);
  return (character) => segmentGlyph(font, basic.offset, character);
}

/** Format 12: groups of characters whose glyphs follow each other. */
function groupedGlyph(font: Buffer, offset: number, character: number): number {
  const groups = font.readUInt32BE(offset + 12);
  for (let group = 0; group < groups; group++) {
    const at = offset + 16 + 12 * group;
    const first = font.readUInt32BE(at);
    if (character >= first && character <= font.readUInt32BE(at + 4)) {
      return font.readUInt32BE(at + 8) + character - first;
    }
  }
  return 0;
}

/** Format 4: segments of the basic plane, each with a difference or an array of glyphs. */
function segmentGlyph(font: Buffer, offset: number, character: number): number {
  const size = font.readUInt16BE(offset + 6);
  for (let at = 0; at < size; at += 2) {
    if (font.readUInt16BE(offset + 14 + at) < character) continue;
    const first = font.readUInt16BE(offset + 16 + size + at);
    if (first > character) return 0;
    const delta = font.readUInt16BE(offset + 16 + 2 * size + at);
    const rangeAt = offset + 16 + 3 * size + at;
    const range = font.readUInt16BE(rangeAt);
    if (range === 0) return (character + delta) & 0xffff;
    const glyph = font.readUInt16BE(rangeAt + range + 2 * (character - first));
    return glyph === 0 ? 0 : (glyph + delta) & 0xffff;
  }
  return 0;
}
