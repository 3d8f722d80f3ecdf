/** Differences between arrays of bytes, and the variable-length numbers that files store them with. */

/** Bytes at a place: an offset in a register image, or a linear address. */
export interface Run {
  at: number;
  bytes: Uint8Array;
}

/** The runs of bytes in which `after` differs from `before` (of equal length); gaps below three bytes are bridged. */
export function differences(before: Uint8Array, after: Uint8Array): Run[] {
  const runs: Run[] = [];
  for (let at = 0; at < before.length; at++) {
    if (before[at] === after[at]) continue;
    let last = at;
    for (let next = at + 1; next < before.length && next <= last + 3; next++) {
      if (before[next] !== after[next]) last = next;
    }
    runs.push({ at, bytes: after.slice(at, last + 1) });
    at = last;
  }
  return runs;
}

/** Writes `runs` into `target`. */
export function applyRuns(target: Uint8Array, runs: readonly Run[]): void {
  for (const { at, bytes } of runs) target.set(bytes, at);
}

/** Collects bytes. Numbers are whole, from 0 to 2^53, seven bits a byte, low bits first (LEB128). */
export class ByteSink {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(this.#length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return at;
  }

  number(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`${value} is not a whole number from 0 to 2^53`);
    let rest = value;
    while (rest >= 0x80) {
      this.#byte((rest % 0x80) + 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#byte(rest);
  }

  #byte(value: number): void {
    const at = this.#room(1);
    this.#bytes[at] = value;
  }

  /** Writes the bytes alone. */
  raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Writes the length and the bytes. */
  bytes(bytes: Uint8Array): void {
    this.number(bytes.length);
    this.raw(bytes);
  }

  text(text: string): void {
    this.bytes(new TextEncoder().encode(text));
  }

  /** Writes a list of runs; each place as its distance from the end of the one before, so they must ascend. */
  runs(runs: readonly Run[]): void {
    this.number(runs.length);
    let end = 0;
    for (const { at, bytes } of runs) {
      this.number(at - end);
      this.bytes(bytes);
      end = at + bytes.length;
    }
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

/** Reads what {@link ByteSink} wrote; throws RangeError at the end of the bytes. */
export class ByteSource {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined)
        throw new RangeError(`the data ends at byte ${this.#bytes.length}, inside a number`);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  raw(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) {
      throw new RangeError(
        `the data ends at byte ${this.#bytes.length}, ${length} bytes were to be read at ${this.#at}`,
      );
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  bytes(): Uint8Array {
    return this.raw(this.number());
  }

  text(): string {
    return new TextDecoder().decode(this.bytes());
  }

  runs(): Run[] {
    let end = 0;
    return Array.from({ length: this.number() }, () => {
      const at = end + this.number();
      const bytes = this.bytes();
      end = at + bytes.length;
      return { at, bytes };
    });
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }
}
