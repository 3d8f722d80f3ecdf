/** Shows how a run goes on: a line that is drawn anew on a terminal, plain lines elsewhere. */
import type { RunState } from './runner.ts';

/** Where progress is shown. */
export interface ProgressStream {
  write(text: string): void;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Redrawing more often than this, in ms, would only cost time. */
const redraw = 100;
/** Without a terminal, a line for each of so many parts of the run. */
const parts = 10;
/** How fast the run goes is measured over this much wall time, in ms. */
const window = 10_000;

/** See the top of this file. */
export class RunProgress {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  readonly #title: string;
  #drawn = Number.NEGATIVE_INFINITY;
  #part = 0;
  #onLine = false;
  /** Points of wall time (ms) and virtual time, the first no older than the window. */
  #marks: { wall: number; time: number }[] = [];

  /** `now` gives the wall time in ms. */
  constructor(title: string, stream: ProgressStream, now: () => number) {
    this.#title = title;
    this.#stream = stream;
    this.#now = now;
  }

  /** Takes the state of the run. */
  update(state: RunState): void {
    const wall = this.#now();
    this.#mark(wall, state.time);
    if (this.#stream.isTTY === true) {
      if (wall - this.#drawn < redraw) return;
      this.#drawn = wall;
      this.#onLine = true;
      this.#stream.write(`\r\x1b[2K${this.#fitting(state, (this.#stream.columns ?? 80) - 1)}`);
      return;
    }
    const part = Math.floor((parts * state.time) / state.duration);
    if (part <= this.#part) return;
    this.#part = part;
    this.#stream.write(`${this.#describe(state)}\n`);
  }

  #mark(wall: number, time: number): void {
    this.#marks.push({ wall, time });
    // The speed is that of the last seconds: guests that boot are slower than guests that idle.
    while (this.#marks.length > 2 && this.#marks[1]!.wall < wall - window) this.#marks.shift();
  }

  /** As much of a line as fits: a shorter bar, then none, then what can be missed most easily is left out. */
  #fitting(state: RunState, width: number): string {
    const share = state.time / state.duration;
    const whole = this.#describe(state);
    const short = this.#describe({ ...state, mergedPages: undefined });
    const lines = [`${bar(share, 24)} ${whole}`, `${bar(share, 8)} ${whole}`, whole, short];
    return lines.find(({ length }) => length <= width) ?? short.slice(0, width);
  }

  #describe({ time, duration, guestsUp, guests, mergedPages }: RunState): string {
    const merged = mergedPages === undefined ? '' : `, ${mergedPages} pages merged`;
    const left = this.#left(duration - time);
    const seconds = (time / 1e9).toFixed(duration < 10e9 ? 2 : 1);
    return `${this.#title}: ${seconds} of ${duration / 1e9} s, ${guestsUp} of ${guests} guests up${merged}${left}`;
  }

  /** What is left in wall time, from how fast it went of late. */
  #left(virtual: number): string {
    const [first, last] = [this.#marks[0]!, this.#marks.at(-1)!];
    const wall = last.wall - first.wall;
    if (virtual <= 0 || wall < 1000 || last.time === first.time) return '';
    const seconds = Math.ceil(((virtual / (last.time - first.time)) * wall) / 1000);
    const text = seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
    return `, about ${text} left`;
  }

  /** Leaves the terminal's line to what is printed next. */
  done(): void {
    if (this.#onLine) this.#stream.write('\r\x1b[2K');
    this.#onLine = false;
  }
}

function bar(share: number, width: number): string {
  const full = Math.round(width * share);
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}]`;
}
