/** The file on disk that holds swapped pages. */
import { closeSync, openSync, readSync, writevSync } from 'node:fs';

/** Bytes at positions. Whoever simulates a failing disk gives another one. */
export interface SwapFile {
  /** Names the file in messages. */
  readonly name: string;
  /** The process's descriptor of the file, by which its other threads read it; undefined when this one alone can. */
  readonly descriptor?: number;
  /** Fills `target` from `position` on. Throws when that cannot be done. */
  read(position: number, target: Uint8Array): void;
  /** Writes all parts, one behind the other, from `position` on. Throws when that cannot be done; some may be written then. */
  write(position: number, parts: readonly Uint8Array[]): void;
  /** Gives the file up. */
  close(): void;
}

/** Fills `target` from a position of an open file on. Throws when that cannot be done. */
export function readFileAt(descriptor: number, position: number, target: Uint8Array): void {
  for (let done = 0; done < target.length; ) {
    const count = readSync(descriptor, target, done, target.length - done, position + done);
    if (count === 0) throw new Error(`the file ends at byte ${position + done}; it was cut while in use`);
    done += count;
  }
}

/** A {@link SwapFile} that is a file. It grows as slots are written for the first time. */
export class DiskFile implements SwapFile {
  readonly name: string;
  readonly descriptor: number;

  /** Makes the file, or empties it. Throws when that cannot be done. */
  constructor(path: string) {
    this.name = path;
    try {
      // Only its owner may read it: it holds the guests' memory.
      this.descriptor = openSync(path, 'w+', 0o600);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`swap file ${path}: cannot make it: ${reason}; give a path in a folder that exists`, {
        cause: error,
      });
    }
  }

  read(position: number, target: Uint8Array): void {
    readFileAt(this.descriptor, position, target);
  }

  write(position: number, parts: readonly Uint8Array[]): void {
    let left = parts;
    for (let at = position; left.length > 0; ) {
      const count = writevSync(this.descriptor, left, at);
      at += count;
      left = behind(left, count);
    }
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

/** What remains of parts when the first `count` bytes are done. */
function behind(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let index = 0;
  let done = count;
  while (index < parts.length && done >= parts[index]!.length) done -= parts[index++]!.length;
  const rest = parts.slice(index);
  if (done > 0) rest[0] = rest[0]!.subarray(done);
  return rest;
}
