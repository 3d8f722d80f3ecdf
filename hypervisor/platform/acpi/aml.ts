/**
 * Writes ACPI Machine Language: a function for each construct that the tables here need, which returns its
 * bytes. Encodings are those of the ACPI specification 6.5, chapter 20 ("ACPI Machine Language Specification").
 */

/** A piece of AML. */
export type Aml = readonly number[];

const OP = {
  zero: 0x00,
  one: 0x01,
  name: 0x08,
  bytePrefix: 0x0a,
  wordPrefix: 0x0b,
  dwordPrefix: 0x0c,
  stringPrefix: 0x0d,
  scope: 0x10,
  buffer: 0x11,
  package: 0x12,
  method: 0x14,
  dualNamePrefix: 0x2e,
  multiNamePrefix: 0x2f,
  extended: 0x5b,
  arg0: 0x68,
  store: 0x70,
  if: 0xa0,
  return: 0xa4,
  deviceExtended: 0x82,
} as const;

/** `value` in `count` bytes, the lowest first. */
export function littleEndian(value: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** i) % 256);
}

/** The bytes of an ASCII string, without a terminating zero. */
export function ascii(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0));
}

/** PkgLength (20.2.4): the length of itself and of the `content` bytes that follow. */
function packageLength(content: number): number[] {
  if (content + 1 < 0x40) return [content + 1];
  for (let extra = 1; ; extra++) {
    const length = content + 1 + extra;
    if (length < 2 ** (4 + 8 * extra))
      return [(extra << 6) | (length & 15), ...littleEndian(length >> 4, extra)];
  }
}

function withLength(content: Aml): number[] {
  return [...packageLength(content.length), ...content];
}

/** A path as NameString (20.2.2): segments of up to four characters separated by dots, perhaps from the root '\'. */
function nameString(path: string): number[] {
  const root = path.startsWith('\\');
  const segments = path.slice(root ? 1 : 0).split('.');
  const names = segments.flatMap((segment) => ascii(segment.padEnd(4, '_')));
  const prefix =
    segments.length === 1
      ? []
      : segments.length === 2
        ? [OP.dualNamePrefix]
        : [OP.multiNamePrefix, segments.length];
  return [...(root ? ascii('\\') : []), ...prefix, ...names];
}

/** An integer constant of up to 32 bits. */
export function integer(value: number): Aml {
  if (value === 0) return [OP.zero];
  if (value === 1) return [OP.one];
  if (value < 0x100) return [OP.bytePrefix, value];
  if (value < 0x1_0000) return [OP.wordPrefix, ...littleEndian(value, 2)];
  return [OP.dwordPrefix, ...littleEndian(value, 4)];
}

/** A string of ASCII characters without zeros (20.2.3). */
export function string(text: string): Aml {
  return [OP.stringPrefix, ...ascii(text), 0];
}

/** A compressed EISA ID such as 'PNP0A03' (19.3.4, "EISAID"). */
export function eisaId(id: string): Aml {
  const letter = (index: number): number => id.charCodeAt(index) - 0x40;
  const vendor = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  return [OP.dwordPrefix, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff];
}

/** A buffer of constant bytes (20.2.5.4). */
export function buffer(bytes: Aml): Aml {
  return [OP.buffer, ...withLength([...integer(bytes.length), ...bytes])];
}

/** A package of at most 255 elements. */
export function pkg(...elements: readonly Aml[]): Aml {
  return [OP.package, ...withLength([elements.length, ...elements.flat()])];
}

/** Name (path, value). */
export function name(path: string, value: Aml): Aml {
  return [OP.name, ...nameString(path), ...value];
}

/** The value of an object that is named elsewhere. */
export function reference(path: string): Aml {
  return nameString(path);
}

/** Scope (path) { content }. */
export function scope(path: string, ...content: readonly Aml[]): Aml {
  return [OP.scope, ...withLength([...nameString(path), ...content.flat()])];
}

/** Device (path) { content }. */
export function device(path: string, ...content: readonly Aml[]): Aml {
  return [OP.extended, OP.deviceExtended, ...withLength([...nameString(path), ...content.flat()])];
}

/** A method of `parameters` arguments (0 … 7), not serialized. */
export function method(path: string, parameters: number, ...content: readonly Aml[]): Aml {
  return [OP.method, ...withLength([...nameString(path), parameters, ...content.flat()])];
}

/** The first argument of the method around it. */
export const arg0: Aml = [OP.arg0];

/** Store (source, target). */
export function store(source: Aml, target: Aml): Aml {
  return [OP.store, ...source, ...target];
}

/** If (condition) { content }. */
export function ifThen(condition: Aml, ...content: readonly Aml[]): Aml {
  return [OP.if, ...withLength([...condition, ...content.flat()])];
}

/** Return (value). */
export function returnValue(value: Aml): Aml {
  return [OP.return, ...value];
}
