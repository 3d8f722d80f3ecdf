/**
 * What guests report on the port of their workloads: lines of JSON objects. Each has `workload`, which is `guest` for what
 * the guest itself says, `event`, and `at_ns`, the guest's own time since it was switched on.
 */
import { z } from 'zod';

const count = z.int().nonnegative();

/** A line of a report. Programs may add keys of their own. */
export const reportLineSchema = z.looseObject({
  workload: z.string(),
  event: z.string(),
  at_ns: count,
});

/** See {@link reportLineSchema}. */
export type ReportLine = z.output<typeof reportLineSchema>;

/**
 * A line of event `latency`: how long accesses or requests took, since the last such line of the same workload and name.
 * Who adds all of them up has the whole.
 */
export const latencyLineSchema = reportLineSchema.extend({
  event: z.literal('latency'),
  /** What was measured: `read`, `write`, `get`, `set`. */
  name: z.string().min(1),
  count,
  /** The longest. When a report had to be split in several lines, that of the line. */
  max_ns: count,
  /** Ranges of times in ascending order: the end of each, which belongs to it, in ns, and how many fell into it. */
  buckets: z.array(z.tuple([count, count])),
});

/** See {@link latencyLineSchema}. */
export type LatencyLine = z.output<typeof latencyLineSchema>;

/** The events of the workloads of this repository, with what each means. */
export const reportEvents = {
  ready: 'the guest has started; `memory_pages` is its memory as it sees it',
  filled: 'the memory is filled; `pages` or `keys` says how much',
  started: 'the work begins',
  latency: 'how long accesses or requests took since the last such line, see latencyLineSchema',
  progress: 'counts since the start: `reads`, `writes`, `errors`; `behind_ns` is how late the next access is',
  verified: 'all memory was read; `errors` counts what was wrong so far',
  finished: 'the work is over; counts as in `progress`',
  ended: "the workload's program has ended with exit status `status` (Debian guests)",
  balloon: 'the microguest has followed its balloon as far as it can: `target` and `actual` in pages',
  error: 'something is wrong: `message` says what, `about` with which argument or command',
} as const;

/** No line of a report is longer, its line feed not counted. */
export const longestLine = 16_384;

/** What a guest sent: a line of a report, or what is none. */
export type Reported =
  | { readonly kind: 'line'; readonly line: ReportLine }
  | { readonly kind: 'damaged'; readonly text: string; readonly reason: string };

/** Puts lines together from the bytes that arrive on the port. Nothing that a guest sends makes it fail. */
export class ReportReader {
  #text = '';
  #tooLong = false;

  /** What `bytes` complete. */
  push(bytes: Uint8Array): Reported[] {
    const reported: Reported[] = [];
    const pieces = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      .toString('latin1')
      .split('\n');
    pieces.forEach((piece, index) => {
      this.#add(piece);
      if (index < pieces.length - 1) reported.push(this.#take());
    });
    return reported;
  }

  #add(piece: string): void {
    this.#text += piece;
    if (this.#text.length <= longestLine) return;
    this.#text = this.#text.slice(0, longestLine);
    this.#tooLong = true;
  }

  #take(): Reported {
    const text = this.#text;
    const tooLong = this.#tooLong;
    this.#text = '';
    this.#tooLong = false;
    if (tooLong) return { kind: 'damaged', text, reason: `longer than ${longestLine} characters` };
    return parseLine(text);
  }
}

function parseLine(text: string): Reported {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'damaged', text, reason: 'no JSON' };
  }
  const schema = isLatency(value) ? latencyLineSchema : reportLineSchema;
  const parsed = schema.safeParse(value);
  if (parsed.success) return { kind: 'line', line: parsed.data };
  const { path, message } = parsed.error.issues[0]!;
  return { kind: 'damaged', text, reason: `${path.join('.')}: ${message}` };
}

function isLatency(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'event' in value && value.event === 'latency';
}
