/** The state hash: the proof that two runs are equal to the last byte. */
import { createHash } from 'node:crypto';
import { type Stateful, StateWriter } from './state.ts';

/** SHA-256 of a part's whole state, in hexadecimal. The state is never in memory as a whole: a host's is as large as all of its guests. */
export function hashOf(part: Pick<Stateful, 'saveState'>): string {
  const hash = createHash('sha256');
  const writer = new StateWriter((bytes) => hash.update(bytes));
  part.saveState(writer);
  writer.flush();
  return hash.digest('hex');
}
