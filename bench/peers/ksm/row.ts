/** What same-page merging saves among idle guests: a row for each host that does it. */
import type { Setup } from '../peer.ts';

/** Pages of 4 KiB, when the counters have settled. */
export interface MergeRow {
  /** Pages that are present of what may be merged: guests' RAM, and ROMs when the host keeps them in pages. */
  readonly present: number;
  /** `pages_shared` */
  readonly shared: number;
  /** `pages_sharing` */
  readonly sharing: number;
}

/** A host that merges pages. A new one is added to `hosts` in `main.ts`. */
export interface MergingHost {
  readonly name: string;
  /** Version and settings, for the results. */
  readonly description: string;
  /** Boots these guests, leaves them idle until the counters settle, and reads them. */
  row(setup: Setup, progress: (line: string) => void): Promise<MergeRow>;
}

const count = (pages: number) => pages.toLocaleString('en-US');

/** The table, in Markdown: a row for each setup and host. */
export function mergeTable(rows: readonly { setup: Setup; host: string; row: MergeRow }[]): string {
  const head = ['guests', 'host', 'pages present', 'shared', 'sharing', 'saved = sharing / present'];
  const body = rows.map(({ setup: { guests, kaslr }, host, row: { present, shared, sharing } }) => [
    `${guests} × 256 MiB, ${kaslr ? 'KASLR' : 'nokaslr'}`,
    host,
    count(present),
    count(shared),
    count(sharing),
    `${((100 * sharing) / present).toFixed(1)} %`,
  ]);
  const rule = head.map((_, at) => (at < 2 ? '---' : '--:'));
  return [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}
