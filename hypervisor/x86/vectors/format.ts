/**
 * The vector files `recorded/*.vectors.gz`: what they hold and how.
 *
 * A file is gzip of: the eight bytes `PFVECTOR`; the version as a number; the {@link FileHeader} as JSON text; then `header.count`
 * vectors to the end. Numbers are LEB128, texts and byte strings follow their length, lists of runs are as {@link ByteSink} writes them.
 *
 * A vector:
 * - number: seed − the previous vector's seed (the first: its seed)
 * - number: index of its rule in `header.rules`, times 16, plus bits: 1 has patches, 2 has memory changes, 4 ends by an
 *   exception other than the final HLT's, 8 has ignored memory
 * - number: index of its encoding in `header.encodings`; number: index of its flavour in {@link flavours}
 * - text: disassembly; bytes: code, which lies at CS.base + RIP
 * - runs: what the register image before differs in from `baseImage(seed, flavour)`
 * - runs: patches of memory before, by linear address, if bit 1
 * - runs: what the register image after differs in from the one before
 * - runs: changes of memory, by linear address, if bit 2
 * - numbers: exception vector, error code, and for a page fault CR2, if bit 4
 * - runs: ignored memory, if bit 8; the bytes are masks of the bits that are not compared
 */
import { applyRuns, ByteSink, ByteSource, differences, type Run } from './bytes.ts';
import { baseImage, type Flavour, flavours } from './image.ts';
import { type LayoutName, layouts } from './layout.ts';

export const formatVersion = 1;
const magic = new TextEncoder().encode('PFVECTOR');

/**
 * What the manual leaves undefined after an instruction, and so is not compared. Never wider than the manual says: `manual`
 * names the place.
 */
export interface Rule {
  manual: string;
  /** Bits of RFLAGS. */
  flags?: number;
  /** Bits of the x87 status word. */
  statusWord?: number;
  /** x87 registers, ST(i) after the instruction, that may be wrong by one unit in the last place. */
  lastPlace?: readonly number[];
  /** XMM registers (by number) that hold single-precision approximations with a relative error of up to 1.5 · 2^−12. */
  approximate?: readonly number[];
}

/** What a file says about itself. */
export interface FileHeader {
  family: string;
  layout: LayoutName;
  /** The processor that the outcomes were recorded on. */
  processor: string;
  /** Its CPUID signature (leaf 1, EAX), in hexadecimal. */
  signature: string;
  /** The generator's seed. */
  seed: number;
  /** The rows of the encoding tables that the vectors were made from. */
  encodings: readonly string[];
  rules: readonly Rule[];
  count: number;
}

/** The exception that a recorded run ended with. */
export interface RecordedException {
  vector: number;
  errorCode: number;
  /** Linear address of a page fault, otherwise 0. Always below 2^47. */
  cr2: number;
}

/** One recorded run. */
export interface Vector {
  seed: number;
  flavour: Flavour;
  encoding: string;
  /** Disassembly. */
  text: string;
  code: Uint8Array;
  /** Register image before. */
  before: Uint8Array;
  /** Memory that differs from the layout's content before, by linear address; without the code. */
  patches: readonly Run[];
  /** Register image after. */
  after: Uint8Array;
  /** Memory that the run changed, by linear address. */
  changes: readonly Run[];
  /** `undefined` when the run reached the HLT behind the code: then RIP is that HLT's address. */
  exception: RecordedException | undefined;
  rule: Rule;
  /** Bits of memory that are not compared, by linear address. */
  ignoredMemory: readonly Run[];
}

/** The bytes are not a vector file of this version. */
export class VectorFileError extends Error {
  override name = 'VectorFileError';
}

/** A file's content. */
export interface VectorFile {
  header: FileHeader;
  vectors: readonly Vector[];
}

function indexed<T>(values: T[], keys: Map<string, number>, key: string, value: T): number {
  const known = keys.get(key);
  if (known !== undefined) return known;
  keys.set(key, values.length);
  values.push(value);
  return values.length - 1;
}

/** Writes a file, not yet compressed. `header.encodings`, `rules` and `count` are filled in from the vectors. */
export function writeVectors(
  header: Omit<FileHeader, 'encodings' | 'rules' | 'count'>,
  vectors: readonly Vector[],
): Uint8Array {
  const rules: Rule[] = [];
  const ruleKeys = new Map<string, number>();
  const encodings: string[] = [];
  const encodingKeys = new Map<string, number>();
  const body = new ByteSink();
  let seed = 0;
  for (const vector of vectors) {
    const rule = indexed(rules, ruleKeys, JSON.stringify(vector.rule), vector.rule);
    body.number(vector.seed - seed);
    seed = vector.seed;
    const { exception } = vector;
    body.number(
      rule * 16 +
        (vector.patches.length > 0 ? 1 : 0) +
        (vector.changes.length > 0 ? 2 : 0) +
        (exception !== undefined ? 4 : 0) +
        (vector.ignoredMemory.length > 0 ? 8 : 0),
    );
    body.number(indexed(encodings, encodingKeys, vector.encoding, vector.encoding));
    body.number(flavours.indexOf(vector.flavour));
    body.text(vector.text);
    body.bytes(vector.code);
    body.runs(differences(baseImage(vector.seed, vector.flavour), vector.before));
    if (vector.patches.length > 0) body.runs(vector.patches);
    body.runs(differences(vector.before, vector.after));
    if (vector.changes.length > 0) body.runs(vector.changes);
    if (exception !== undefined) {
      body.number(exception.vector);
      body.number(exception.errorCode);
      if (exception.vector === 14) body.number(exception.cr2);
    }
    if (vector.ignoredMemory.length > 0) body.runs(vector.ignoredMemory);
  }
  const sink = new ByteSink();
  sink.raw(magic);
  sink.number(formatVersion);
  sink.text(JSON.stringify({ ...header, encodings, rules, count: vectors.length }));
  sink.raw(body.finish());
  return sink.finish();
}

function readHeader(source: ByteSource): FileHeader {
  if (!magic.every((byte) => source.raw(1)[0] === byte)) {
    throw new VectorFileError(
      'not a vector file: it does not begin with PFVECTOR; make it anew with generate.ts',
    );
  }
  const version = source.number();
  if (version !== formatVersion) {
    throw new VectorFileError(
      `the vector file has version ${version}, this reader knows ${formatVersion}; make it anew with generate.ts`,
    );
  }
  const header = JSON.parse(source.text()) as FileHeader;
  if (!(header.layout in layouts))
    throw new VectorFileError(`the vector file names the unknown layout '${header.layout}'`);
  return header;
}

function readVector(source: ByteSource, header: FileHeader, previousSeed: number): Vector {
  const seed = previousSeed + source.number();
  const bits = source.number();
  const encoding = header.encodings[source.number()];
  const flavour = flavours[source.number()];
  const rule = header.rules[Math.floor(bits / 16)];
  if (encoding === undefined || flavour === undefined || rule === undefined) {
    throw new VectorFileError('a vector names an encoding, flavour or rule that its file does not have');
  }
  const text = source.text();
  const code = source.bytes();
  const before = baseImage(seed, flavour);
  applyRuns(before, source.runs());
  const patches = (bits & 1) !== 0 ? source.runs() : [];
  const after = before.slice();
  applyRuns(after, source.runs());
  const changes = (bits & 2) !== 0 ? source.runs() : [];
  let exception: RecordedException | undefined;
  if ((bits & 4) !== 0) {
    const vector = source.number();
    exception = { vector, errorCode: source.number(), cr2: vector === 14 ? source.number() : 0 };
  }
  const ignoredMemory = (bits & 8) !== 0 ? source.runs() : [];
  return {
    seed,
    flavour,
    encoding,
    text,
    code,
    before,
    patches,
    after,
    changes,
    exception,
    rule,
    ignoredMemory,
  };
}

/** Reads a file's bytes after decompression. Throws {@link VectorFileError} or RangeError when they are none. */
export function readVectors(bytes: Uint8Array): VectorFile {
  const source = new ByteSource(bytes);
  const header = readHeader(source);
  const vectors: Vector[] = [];
  let seed = 0;
  for (let i = 0; i < header.count; i++) {
    const vector = readVector(source, header, seed);
    seed = vector.seed;
    vectors.push(vector);
  }
  if (!source.done) throw new VectorFileError('the vector file goes on behind its last vector');
  return { header, vectors };
}
