/**
 * What carries interrupt messages between the I/O APIC, message-signalled interrupts and the local APICs
 * (SDM vol. 3, "Determining IPI Destination").
 */
import type { MessageInterrupt } from '../bus.ts';
import { DELIVERY } from './registers.ts';

/** A receiver of interrupt messages: a local APIC. */
export interface MessageReceiver {
  /** Whether a message to `destination` is for this one. A logical destination is compared as the receiver's own mode says. */
  matches(destination: number, logical: boolean): boolean;
  /** Takes a message; false when it cannot. */
  accept(delivery: number, vector: number, levelTriggered: boolean): boolean;
  /** The processor priority (PPR); Infinity when the receiver takes no interrupts at all. */
  readonly arbitrationPriority: number;
}

/** Sends to all: the destination is not compared. */
export const BROADCAST = -1;

/** The message network of one machine. */
export class InterruptNetwork {
  readonly #receivers: MessageReceiver[] = [];
  readonly #endOfInterrupt: ((vector: number) => void)[] = [];

  /** Adds a local APIC; the order of adding breaks ties of priority. */
  attach(receiver: MessageReceiver): void {
    this.#receivers.push(receiver);
  }

  /** Lets `listener` hear the EOI broadcasts. */
  onEndOfInterrupt(listener: (vector: number) => void): void {
    this.#endOfInterrupt.push(listener);
  }

  /** Broadcasts that a local APIC has ended the level-triggered interrupt `vector`. */
  endOfInterrupt(vector: number): void {
    for (const listener of this.#endOfInterrupt) listener(vector);
  }

  /**
   * Delivers a message. Lowest priority goes to the matching CPU of the lowest processor priority, every other
   * delivery mode to all that match but `except`.
   * @param destination an APIC ID, a set of logical APICs, or {@link BROADCAST}
   * @returns whether one took it
   */
  send(
    destination: number,
    logical: boolean,
    delivery: number,
    vector: number,
    levelTriggered: boolean,
    except?: MessageReceiver,
  ): boolean {
    let lowest: MessageReceiver | undefined;
    let accepted = false;
    for (const receiver of this.#receivers) {
      if (receiver === except) continue;
      if (destination !== BROADCAST && !receiver.matches(destination, logical)) continue;
      if (delivery !== DELIVERY.lowestPriority) {
        accepted = receiver.accept(delivery, vector, levelTriggered) || accepted;
      } else if (receiver.arbitrationPriority < (lowest?.arbitrationPriority ?? Number.POSITIVE_INFINITY)) {
        lowest = receiver;
      }
    }
    return lowest === undefined ? accepted : lowest.accept(DELIVERY.fixed, vector, levelTriggered);
  }

  /** Delivers what a device writes to 0xFEExxxxx (SDM vol. 3, "Message Signalled Interrupts"). Other addresses are no interrupts. */
  readonly message: MessageInterrupt = (address, data) => {
    if (address >>> 20 !== 0xfee) return;
    const levelTriggered = (data & (1 << 15)) !== 0;
    if (levelTriggered && (data & (1 << 14)) === 0) return; // a deassertion
    const destination = (address >>> 12) & 0xff;
    const logical = (address & 4) !== 0;
    this.send(
      destination === 0xff ? BROADCAST : destination,
      logical,
      (data >> 8) & 7,
      data & 0xff,
      levelTriggered,
    );
  };
}
