/** Saving and loading parts in tests. */
import { type Stateful, StateReader, StateWriter } from '../../state/state.ts';

/** The whole state of `part` as bytes. */
export function save(part: Stateful): Uint8Array {
  const writer = new StateWriter();
  part.saveState(writer);
  return writer.finish();
}

/** Lets `part` take up a state that {@link save} gave. Throws when bytes are left over. */
export function load(part: Stateful, state: Uint8Array): void {
  const reader = new StateReader(state);
  part.loadState(reader);
  if (!reader.done) throw new Error('the state has more bytes than were read');
}
