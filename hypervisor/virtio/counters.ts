/** Counters of a device: a plain object of numbers, part of its saved state. */
import type { StateReader, StateWriter } from '../state/state.ts';

/** Writes counters in the order in which their object was made. */
export function saveCounters(to: StateWriter, counters: Readonly<Record<string, number>>): void {
  for (const value of Object.values(counters)) to.number(value);
}

/** Takes up what {@link saveCounters} wrote of an object with the same counters. */
export function loadCounters(from: StateReader, counters: Record<string, number>): void {
  for (const name of Object.keys(counters)) counters[name] = from.number();
}
