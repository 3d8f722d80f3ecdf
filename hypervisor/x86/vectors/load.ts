/** Reads the recorded vector files from disk, for tests and tools. */
import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { readVectors, type VectorFile } from './format.ts';

const folder = new URL('recorded/', import.meta.url);
const ending = '.vectors.gz';

/** The names of all recorded families, sorted: `arithmetic-long`, … */
export function recordedFamilies(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => name.slice(0, -ending.length))
    .sort();
}

/** Reads the vectors of a family. Throws with the file's name when it cannot be read. */
export function loadVectors(family: string): VectorFile {
  const file = new URL(`${family}${ending}`, folder);
  try {
    return readVectors(gunzipSync(readFileSync(file)));
  } catch (error) {
    throw new Error(`cannot read the vectors in ${file.pathname}`, { cause: error });
  }
}
