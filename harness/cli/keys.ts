/** The keys by which a user at the guest's console speaks to pagefold: Ctrl-A and one more, as in QEMU. */

/** What a user asked for. */
export type KeyAction = { kind: 'send'; bytes: Uint8Array } | { kind: 'quit' } | { kind: 'help' };

/** What Ctrl-A H shows. */
export const keyHelp = [
  'Ctrl-A H    this help',
  'Ctrl-A X    end the guest',
  'Ctrl-A A    send Ctrl-A to the guest',
];

const ctrlA = 0x01;

/** Tells the keys that are meant for pagefold from those for the guest. */
export class EscapeKeys {
  /** True when the last key was Ctrl-A. */
  #escaped = false;

  /** What the bytes that were typed ask for, in their order. Nothing after `quit` counts. */
  typed(bytes: Uint8Array): KeyAction[] {
    const actions: KeyAction[] = [];
    let plain: number[] = [];
    const send = () => {
      if (plain.length > 0) actions.push({ kind: 'send', bytes: Uint8Array.from(plain) });
      plain = [];
    };
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === ctrlA) this.#escaped = true;
        else plain.push(byte);
        continue;
      }
      this.#escaped = false;
      const key = String.fromCharCode(byte).toLowerCase();
      if (byte === ctrlA || key === 'a') plain.push(ctrlA);
      else if (key === 'x') {
        send();
        actions.push({ kind: 'quit' });
        return actions;
      } else if (key === 'h' || key === '?') {
        send();
        actions.push({ kind: 'help' });
      }
    }
    send();
    return actions;
  }
}
