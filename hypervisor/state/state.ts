/**
 * How every part of a machine writes its whole state down and takes it up again.
 *
 * A part implements {@link Stateful}: `saveState` writes its fields in a fixed order, `loadState` reads them
 * in the same order. The bytes are canonical: equal states give equal bytes on every machine, so the hash of
 * the bytes is the state hash, and a snapshot is the bytes themselves. Whatever can be derived from other
 * state (caches, look-up tables, TLBs) is not written; `loadState` rebuilds or drops it.
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

/** Writes state as little-endian bytes. */
export class StateWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }

  /** Writes a named section: the name, the length in bytes, then whatever `body` writes. */
  section(name: string, body: () => void): void {
    this.string(name);
    const lengthAt = this.#room(4);
    body();
    this.#view.setUint32(lengthAt, this.#length - lengthAt - 4, true);
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

  /** Writes what another writer has written, as it is. */
  append(state: Uint8Array): void {
    const at = this.#room(state.length);
    this.#bytes.set(state, at);
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
  /** Where the present section ends. */
  #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#end = bytes.length;
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
    const length = this.u32();
    const outer = this.#end;
    const end = this.#at + length;
    this.#end = end;
    body();
    this.#end = outer;
    if (this.#at !== end) {
      throw new StateError(`section '${name}' has ${length} bytes, ${this.#at - end + length} were read`);
    }
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

  /** What is left of the present section, to be read by another reader. */
  rest(): Uint8Array {
    const at = this.#take(Math.max(0, this.#end - this.#at));
    return this.#bytes.slice(at, this.#at);
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: this.u32() }, read);
  }

  /** True when every byte has been read. */
  get done(): boolean {
    return this.#at === this.#bytes.length;
  }
}
