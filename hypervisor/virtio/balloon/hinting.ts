/**
 * Free page hinting (Virtual I/O Device 1.3, section 5.5.6.5): the device gives out a command ID, the driver
 * sends it back, then free pages, then STOP when it has no more.
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';

/** Reserved command IDs: the driver stops; the driver stops and may use the hinted pages again. */
export const CMD_ID_STOP = 0;
export const CMD_ID_DONE = 1;

/** Command IDs count up from here; any but the two reserved would do. */
const FIRST_ID = 0x80000000;

/**
 * Where hinting stands: never begun or finished; asked for; the driver sends hints; the driver has no more;
 * the device told it to stop.
 */
export type HintingPhase = 'done' | 'requested' | 'running' | 'ended' | 'stopped';

const PHASES: readonly HintingPhase[] = ['done', 'requested', 'running', 'ended', 'stopped'];

/** The state of free page hinting. */
export class Hinting implements Stateful {
  #commandId = CMD_ID_DONE;
  #lastId = FIRST_ID - 1;
  #phase: HintingPhase = 'done';

  /** What configuration space shows as free_page_hint_cmd_id. */
  get commandId(): number {
    return this.#commandId;
  }

  get phase(): HintingPhase {
    return this.#phase;
  }

  /** Asks for hints under an ID that was not used before (or 2^31 requests ago). */
  start(): void {
    this.#lastId = this.#lastId === 0xffffffff ? FIRST_ID : this.#lastId + 1;
    this.#commandId = this.#lastId;
    this.#phase = 'requested';
  }

  /** Hints are of no use for now; the driver keeps the pages that it hinted. */
  stop(): void {
    this.#commandId = CMD_ID_STOP;
    this.#phase = 'stopped';
  }

  /** No more hints are needed, and the driver may use the hinted pages. */
  finish(): void {
    this.#commandId = CMD_ID_DONE;
    this.#phase = 'done';
  }

  /** The driver sent a command ID. An ID that is not the current one ends what it belonged to. */
  receive(id: number): void {
    if (this.#phase !== 'requested' && this.#phase !== 'running') return;
    if (id === this.#commandId) this.#phase = 'running';
    else if (this.#phase === 'running') this.#phase = id === CMD_ID_STOP ? 'ended' : 'requested';
  }

  /** The device was reset: no request is under way. */
  reset(): void {
    this.#commandId = CMD_ID_DONE;
    this.#phase = 'done';
  }

  saveState(to: StateWriter): void {
    to.u32(this.#commandId);
    to.u32(this.#lastId);
    to.u8(PHASES.indexOf(this.#phase));
  }

  loadState(from: StateReader): void {
    this.#commandId = from.u32();
    this.#lastId = from.u32();
    this.#phase = PHASES[from.u8()]!;
  }
}
