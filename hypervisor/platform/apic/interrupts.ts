/**
 * The interrupts that a local APIC has accepted and not finished: the registers IRR, ISR and TMR, and the
 * priorities that decide what the CPU gets next (SDM vol. 3, "Interrupt, Task, and Processor Priority" and
 * "Interrupt Acceptance for Fixed Interrupts").
 */
import type { Stateful, StateReader, StateWriter } from '../../state/state.ts';
import { VectorSet } from './vectors.ts';

/** Accepted interrupts and priorities of one CPU. A vector's priority class is its upper four bits. */
export class AcceptedInterrupts implements Stateful {
  readonly requested = new VectorSet();
  readonly inService = new VectorSet();
  readonly triggerMode = new VectorSet();
  /** The task-priority register, 0 … 255. */
  taskPriority = 0;

  /** The processor-priority register. */
  get processorPriority(): number {
    const service = Math.max(this.inService.highest, 0);
    return this.taskPriority >> 4 >= service >> 4 ? this.taskPriority : service & 0xf0;
  }

  /** The vector that the CPU gets next; −1 when none has a priority class above the processor's. */
  get deliverable(): number {
    const vector = this.requested.highest;
    return vector >> 4 > this.processorPriority >> 4 ? vector : -1;
  }

  /** Accepts a vector from 16 to 255. */
  request(vector: number, levelTriggered: boolean): void {
    this.requested.add(vector);
    if (levelTriggered) this.triggerMode.add(vector);
    else this.triggerMode.delete(vector);
  }

  /** Takes a requested vector into service. */
  serve(vector: number): void {
    this.requested.delete(vector);
    this.inService.add(vector);
  }

  /** Ends the service of the highest vector and returns it; −1 when there is none. */
  finish(): number {
    const vector = this.inService.highest;
    if (vector >= 0) this.inService.delete(vector);
    return vector;
  }

  /** Back to the state after reset. */
  reset(): void {
    this.requested.clear();
    this.inService.clear();
    this.triggerMode.clear();
    this.taskPriority = 0;
  }

  saveState(to: StateWriter): void {
    this.requested.saveState(to);
    this.inService.saveState(to);
    this.triggerMode.saveState(to);
    to.u8(this.taskPriority);
  }

  loadState(from: StateReader): void {
    this.requested.loadState(from);
    this.inService.loadState(from);
    this.triggerMode.loadState(from);
    this.taskPriority = from.u8();
  }
}
