/** What a guest writes in a round, kept until the round is over: then the host hands it on, in the order of the guests. */

/** Bytes that a guest wrote to a port of its console, at a virtual time in ns. */
export interface PortOutput {
  readonly port: number;
  readonly time: number;
  readonly bytes: Uint8Array;
}

/** What a guest wrote. */
export interface Written {
  readonly serial: Uint8Array;
  readonly ports: readonly PortOutput[];
}

/** See the top of this file. */
export class Outputs {
  #serial: number[] = [];
  #ports: PortOutput[] = [];

  /** Keeps a byte of the serial port. */
  serial(byte: number): void {
    this.#serial.push(byte);
  }

  /** Keeps bytes of a port, which are copied, written at virtual time `time`. */
  port(port: number, bytes: Uint8Array, time: number): void {
    this.#ports.push({ port, time, bytes: bytes.slice() });
  }

  /** Takes all that was kept; undefined when there is nothing. */
  take(): Written | undefined {
    if (this.#serial.length === 0 && this.#ports.length === 0) return undefined;
    const written = { serial: Uint8Array.from(this.#serial), ports: this.#ports };
    this.#serial = [];
    this.#ports = [];
    return written;
  }
}
