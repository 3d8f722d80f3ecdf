/** QEMU's control protocol (QMP): commands and answers, each a JSON object in a line, on the process's standard input and output. */
import type { Readable, Writable } from 'node:stream';

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** One QEMU process's end of the protocol. */
export class Qmp {
  readonly #to: Writable;
  readonly #waiting: PromiseWithResolvers<void>[] = [];
  readonly #greeting = Promise.withResolvers<void>();
  #rest = '';

  constructor(from: Readable, to: Writable) {
    this.#to = to;
    // A process that has ended is told by whoever watches it.
    to.on('error', () => {});
    this.#greeting.promise.catch(() => {});
    from.on('data', (chunk: Buffer) => {
      const lines = (this.#rest + chunk.toString()).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) if (line.trim() !== '') this.#take(JSON.parse(line));
    });
    from.on('close', () => {
      for (const each of [this.#greeting, ...this.#waiting]) each.reject(new Error('QEMU ended'));
    });
  }

  #take(message: Answer & { readonly QMP?: unknown }): void {
    if (message.QMP !== undefined) this.#greeting.resolve();
    else if (message.error !== undefined) this.#waiting.shift()?.reject(new Error(message.error.desc));
    else if (message.return !== undefined) this.#waiting.shift()?.resolve();
    // What is left are events.
  }

  /** Waits until QEMU is ready for commands. */
  async open(): Promise<void> {
    await this.#greeting.promise;
    await this.execute('qmp_capabilities');
  }

  /** Executes a command and waits for its answer. */
  execute(command: string): Promise<void> {
    const answer = Promise.withResolvers<void>();
    this.#waiting.push(answer);
    this.#to.write(`${JSON.stringify({ execute: command })}\n`);
    return answer.promise;
  }
}
