/**
 * The guests in the order in which ksmd goes through them, and where it is. As in Linux, a guest that comes while
 * ksmd is on its way is put just behind it, so that it is the last to be reached; one that leaves is put just before it.
 */
import type { Guest } from './store.ts';

/** See the top of this file. */
export class Order {
  readonly guests: Guest[] = [];
  /** Number of the guest at which ksmd is; the number of guests when it is between two full scans. */
  cursor = 0;

  /** The guest at which ksmd is; undefined between two full scans. */
  get current(): Guest | undefined {
    return this.guests[this.cursor];
  }

  /** Puts a guest just behind ksmd, or last when `last` is true. */
  add(guest: Guest, last: boolean): void {
    const atEnd = this.cursor === this.guests.length;
    if (last && !atEnd) this.guests.push(guest);
    else this.guests.splice(this.cursor++, 0, guest);
  }

  /** Takes a guest out; when ksmd was there it is at the next one now. */
  remove(guest: Guest): void {
    const at = this.guests.indexOf(guest);
    this.guests.splice(at, 1);
    if (at < this.cursor) this.cursor--;
  }

  /** Puts a guest, not the current one, where ksmd comes next. */
  moveNext(guest: Guest): void {
    this.remove(guest);
    const between = this.cursor === this.guests.length;
    this.guests.splice(between ? 0 : this.cursor + 1, 0, guest);
    if (between) this.cursor++;
  }

  /** ksmd goes to the first guest. */
  first(): void {
    this.cursor = 0;
  }

  /** ksmd goes to the next guest. */
  next(): void {
    this.cursor++;
  }

  /** ksmd goes to before the first guest. */
  reset(): void {
    this.cursor = this.guests.length;
  }
}
