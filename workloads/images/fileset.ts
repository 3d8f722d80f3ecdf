/**
 * The file set of the workload `files`: numbered files of pages whose content is known, so that the workload can check
 * what it reads.
 */
import { wordOf } from '../native/content.ts';

/** Where images have it. */
export const fileSetFolder = 'image/files';

/** The set of "equal" pages (`native/content.h`) that the files have; those of memory have smaller numbers. */
export const fileSetOwner = 2 ** 20 - 1;

const pageBytes = 4096;

/** The files: `count` of `pages` pages each, named 000, 001, ... */
export function fileSet(count: number, pages: number): { name: string; data: Uint8Array }[] {
  return Array.from({ length: count }, (_, number) => {
    const data = new Uint8Array(pages * pageBytes);
    const words = new BigUint64Array(data.buffer);
    for (let page = 0; page < pages; page++) {
      const index = number * pages + page;
      const word = wordOf({ kind: 'equal', owner: fileSetOwner, index, version: 0 });
      words.fill(word, (page * pageBytes) / 8, ((page + 1) * pageBytes) / 8);
    }
    return { name: String(number).padStart(3, '0'), data };
  });
}
