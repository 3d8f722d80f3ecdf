/** Bytes that wait in order: a growing array that is used from both ends. */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';

/** A first-in, first-out queue of bytes. */
export class ByteQueue implements Stateful {
  #bytes = new Uint8Array(256);
  #start = 0;
  #end = 0;

  /** How many bytes wait. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Adds bytes at the end; they are copied. */
  push(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#bytes.length) this.#makeRoom(bytes.length);
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #makeRoom(more: number): void {
    const needed = this.length + more;
    const target = needed > this.#bytes.length / 2 ? new Uint8Array(2 * needed) : this.#bytes;
    target.set(this.#bytes.subarray(this.#start, this.#end));
    this.#end = this.length;
    this.#start = 0;
    this.#bytes = target;
  }

  /** The first bytes, at most `count`: a view that is valid until the next change. */
  first(count: number): Uint8Array {
    return this.#bytes.subarray(this.#start, Math.min(this.#start + count, this.#end));
  }

  /** Drops the first `count` bytes, of which there must be as many. */
  drop(count: number): void {
    this.#start += count;
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    }
  }

  saveState(to: StateWriter): void {
    to.bytes(this.first(this.length));
  }

  loadState(from: StateReader): void {
    this.#start = 0;
    this.#end = 0;
    this.push(from.bytes());
  }
}
