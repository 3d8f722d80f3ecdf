/** What a run folder holds, by name. */

/** Counts changes of the format that a reader of the former one would misunderstand. */
export const formatVersion = 1;

/** Files of every run folder. Each is there when the run is whole, even when it has no row. */
export const files = {
  manifest: 'manifest.json',
  columns: 'columns.json',
  samples: 'samples.csv',
  guests: 'guests.csv',
  latency: 'latency.csv',
  histogram: 'histogram.csv',
  events: 'events.jsonl',
  workload: 'workload.jsonl',
  result: 'result.json',
} as const;

/** Folder of the guests' consoles, one file `NAME.log` a guest. */
export const consolesFolder = 'consoles';
/** Folder of the report, which is made from the others and may be made anew. */
export const reportFolder = 'report';
/** The file that makes a folder of several runs: a sweep, or a density search. */
export const sweepFile = 'sweep.json';
/** Ending of the name of a run folder that is being written, or whose run did not come to its end. */
export const partialEnding = '.partial';

/** Tables of a run folder. */
export type TableName = 'samples' | 'guests' | 'latency' | 'histogram';
