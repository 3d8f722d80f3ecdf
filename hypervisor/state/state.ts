/**
 * How every part of a machine writes its whole state down and takes it up again.
 *
 * A part implements {@link Stateful}: `saveState` writes its fields in a fixed order, `loadState` reads them
 * in the same order. The bytes are canonical: equal states give equal bytes on every machine, so the hash of
 * the bytes is the state hash, and a snapshot is the bytes themselves. Whatever can be derived from other
 * state (caches, look-up tables, TLBs) is not written; `loadState` rebuilds or drops it.
 *
 * Bytes are written from front to back only, so that a state larger than memory can go to a file or a hash piece by piece.
 */

/** A part of a machine whose whole state can be written down and taken up again. */
export interface Stateful {
  /** Writes every field that the part's future depends on. */
  saveState(to: StateWriter): void;
  /** Takes up a state that `saveState` wrote. Throws {@link StateError} when the bytes do not fit. */
  loadState(from: StateReader): void;
}

/** A saved state does not fit the part that should take it up. */
export class StateError extends Error {
  override name = 'StateError';
}

/** Bytes that a writer has room for at first; when they are handed on, they are so in pieces of about that. */
const roomAtFirst = 65536;

/** Writes state as little-endian bytes. */
export class StateWriter {
  readonly #take: ((bytes: Uint8Array) => void) | undefined;
  #bytes = new Uint8Array(roomAtFirst);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  /** Bytes that were handed on. */
  #taken = 0;

  /**
   * @param take is given what is written, piece by piece; a piece is valid during the call only. When it is not given, all is kept for
   * {@link finish}.
   */
  constructor(take?: (bytes: Uint8Array) => void) {
    this.#take = take;
  }

  #room(count: number): number {
    if (this.#length + count > this.#bytes.length) {
      if (this.#take !== undefined) this.flush();
      if (this.#length + count > this.#bytes.length) this.#grow(this.#length + count);
    }
    const at = this.#length;
    this.#length += count;
    return at;
  }

  #grow(count: number): void {
    const grown = new Uint8Array(Math.max(count, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  /** Hands on what is left, of a writer that does so. */
  flush(): void {
    this.#take!(this.#bytes.subarray(0, this.#length));
    this.#taken += this.#length;
    this.#length = 0;
  }

  /** Writes a named section: the name, whatever `body` writes, then how many bytes that were. */
  section(name: string, body: () => void): void {
    this.string(name);
    const start = this.#taken + this.#length;
    body();
    this.number(this.#taken + this.#length - start);
  }

  /** Writes `part` as a section of the given name. */
  part(name: string, part: Stateful): void {
    this.section(name, () => part.saveState(this));
  }

  bool(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  u8(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  u64(value: bigint): void {
    const at = this.#room(8);
    this.#view.setBigUint64(at, value, true);
  }

  /** Writes any JavaScript number, as a double: times in nanoseconds, counts up to 2^53, infinity. */
  number(value: number): void {
    const at = this.#room(8);
    this.#view.setFloat64(at, value, true);
  }

  /** Writes the length and the bytes. */
  bytes(value: Uint8Array): void {
    this.u32(value.length);
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
  }

  /** Writes a string as UTF-8. */
  string(value: string): void {
    this.bytes(new TextEncoder().encode(value));
  }

  /** Writes the length of a list and each element by `write`. */
  list<T>(values: readonly T[], write: (value: T) => void): void {
    this.u32(values.length);
    for (const value of values) write(value);
  }

  /** Everything written so far. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Reads what {@link StateWriter} wrote. Every method throws {@link StateError} at the end of the bytes. */
export class StateReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length)
      throw new StateError(`state ends at byte ${at}, ${count} more expected`);
    this.#at += count;
    return at;
  }

  /** Reads a section written by {@link StateWriter.section}: checks its name and that `body` reads all of it. */
  section(name: string, body: () => void): void {
    const found = this.string();
    if (found !== name) throw new StateError(`state has section '${found}' where '${name}' was expected`);
    const start = this.#at;
    body();
    const read = this.#at - start;
    if (this.number() !== read)
      throw new StateError(`section '${name}' does not end behind the ${read} bytes that were read`);
  }

  /** Lets `part` take up its state from a section of the given name. */
  part(name: string, part: Stateful): void {
    this.section(name, () => part.loadState(this));
  }

  bool(): boolean {
    return this.u8() !== 0;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  number(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  bytes(): Uint8Array {
    const length = this.u32();
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  string(): string {
    return new TextDecoder().decode(this.bytes());
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: this.u32() }, read);
  }

  /** True when every byte has been read. */
  get done(): boolean {
    return this.#at === this.#bytes.length;
  }
}
