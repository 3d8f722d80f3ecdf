/** A growing byte buffer with the integer encodings of the WebAssembly binary format (spec 3.0, chapter 5 "Binary Format"). */
export class ByteBuffer {
  #bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  #room(count: number): void {
    const needed = this.length + count;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
  }

  byte(value: number): void {
    if (this.length === this.#bytes.length) this.#room(1);
    this.#bytes[this.length++] = value;
  }

  /** Unsigned LEB128 of a whole number below 2^32. */
  unsigned(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of a 32-bit integer. */
  signed(value: number): void {
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.byte(rest & 0x7f);
  }

  /** Signed LEB128 of a 64-bit integer. */
  signed64(value: bigint): void {
    let rest = BigInt.asIntN(64, value);
    while (rest < -0x40000000n || rest > 0x3fffffffn) {
      this.byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.signed(Number(rest));
  }

  /** Forgets what has been written. */
  clear(): void {
    this.length = 0;
  }

  /** Signed LEB128 of a 64-bit integer given as its halves. */
  signedHalves(low: number, high: number): void {
    if (high === low >> 31) this.signed(low);
    else this.signed64((BigInt(high) << 32n) | BigInt(low >>> 0));
  }

  /** Appends `source[from … to)` and gives where it stands. */
  copy(source: Uint8Array, from: number, to: number): number {
    const at = this.length;
    this.#room(to - from);
    const bytes = this.#bytes;
    let next = at;
    // Mostly a few bytes.
    for (let i = from; i < to; i++) bytes[next++] = source[i]!;
    this.length = next;
    return at;
  }

  /** Replaces a byte that has been written. */
  patch(at: number, value: number): void {
    this.#bytes[at] = value;
  }

  f32(value: number): void {
    this.bytes(new Uint8Array(new Float32Array([value]).buffer));
  }

  f64(value: number): void {
    this.bytes(new Uint8Array(new Float64Array([value]).buffer));
  }

  bytes(value: ArrayLike<number>): void {
    const { length } = value;
    if (length < few) {
      for (let i = 0; i < length; i++) this.byte(value[i]!);
      return;
    }
    this.#room(length);
    this.#bytes.set(value, this.length);
    this.length += length;
  }

  /** A name: its length, then UTF-8. */
  name(value: string): void {
    let encoded = names.get(value);
    if (encoded === undefined) {
      encoded = encoder.encode(value);
      names.set(value, encoded);
    }
    this.unsigned(encoded.length);
    this.bytes(encoded);
  }

  /** Length-prefixed contents of another buffer. */
  sized(value: ByteBuffer): void {
    this.unsigned(value.length);
    this.bytes(value.view());
  }

  /** The bytes so far; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

const encoder = new TextEncoder();
/** Names that have been written: the same few stand in every module. */
const names = new Map<string, Uint8Array>();
/** So few bytes are copied faster one by one. */
const few = 32;
