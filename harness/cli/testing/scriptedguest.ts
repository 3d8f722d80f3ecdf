/** A guest that behaves as a test says, one step at a time: for what the command does around a machine. */
import { translatorCounters } from '../../../hypervisor/x86/translate/counters.ts';
import type { ByteChannel, Guest, StepEnd } from '../machine.ts';

/** What a scripted guest does in one step: it may print, and says how the step ended. */
export type Step = (guest: ScriptedGuest) => StepEnd['reason'] | undefined;

/** A guest whose steps are functions; after the last it goes on for ever, doing nothing. */
export interface ScriptedGuest extends Guest {
  /** What was sent to the console so far, as text. */
  readonly typed: string;
  /** What was sent to the port so far, as text. */
  sent(port: string): string;
  /** Prints on the console. */
  print(text: string): void;
  /** Sends by a port. */
  send(port: string, text: string): void;
}

function channel(): ByteChannel & { text: string } {
  return {
    text: '',
    onOutput: () => {},
    input(bytes) {
      this.text += Buffer.from(bytes).toString('latin1');
    },
  };
}

export function scriptedGuest(steps: readonly Step[]): ScriptedGuest {
  const left = [...steps];
  const serial = channel();
  const ports = new Map<string, ReturnType<typeof channel>>();
  const port = (name: string) => {
    const found = ports.get(name) ?? channel();
    ports.set(name, found);
    return found;
  };
  return {
    instructions: 0,
    translatedInstructions: 0,
    residentBytes: 0,
    virtualNs: 0,
    counters: {
      code: { pages: 0, shared: 0, slid: 0, instructions: 0, detached: 0, resets: 0 },
      translator: translatorCounters(),
    },
    console: serial,
    port,
    get typed() {
      return serial.text;
    },
    sent: (name) => port(name).text,
    print: (text) => serial.onOutput(Buffer.from(text)),
    send: (name, text) => port(name).onOutput(Buffer.from(text)),
    step(virtualNs) {
      const reason = left.shift()?.(this) ?? 'time';
      Object.assign(this, { virtualNs: this.virtualNs + virtualNs, instructions: this.instructions + 1000 });
      return { reason };
    },
    stateHash: () => '0',
    setBalloon: () => {},
  };
}
