/** Puts the lines together that a guest's workload sends, whatever pieces they come in. */

/** No line is longer; a guest that sends more without a line feed is cut there. */
const longestLine = 1 << 16;

/** A JSON object that a workload sent, or a line that is none. */
export type WorkloadMessage =
  | { readonly kind: 'object'; readonly value: Readonly<Record<string, unknown>> }
  | { readonly kind: 'damaged'; readonly line: string };

/** See the top of this file. */
export class WorkloadReader {
  #bytes: number[] = [];

  /** The messages that these bytes complete. */
  push(bytes: Uint8Array): WorkloadMessage[] {
    const messages: WorkloadMessage[] = [];
    for (const byte of bytes) {
      if (byte !== 0x0a) this.#bytes.push(byte);
      if (byte !== 0x0a && this.#bytes.length < longestLine) continue;
      const line = new TextDecoder().decode(Uint8Array.from(this.#bytes)).trim();
      this.#bytes = [];
      if (line !== '') messages.push(parse(line));
    }
    return messages;
  }
}

function parse(line: string): WorkloadMessage {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return { kind: 'object', value: value as Record<string, unknown> };
    }
  } catch {
    // Said below, as for JSON that is no object.
  }
  return { kind: 'damaged', line: line.slice(0, 200) };
}
