/**
 * The host's side of what {@link file://./init} speaks on the virtio console port `pagefold.control`.
 *
 * The guest announces itself by `ready`. The host asks for `exec LENGTH`, followed by so many bytes of a shell
 * script, or for `poweroff`. The guest runs the script as root, with `/dev/null` as its input and the port
 * `pagefold.output` for what it prints, and answers `exit STATUS`. Every line ends by a line feed.
 */

/** The port for requests and answers. */
export const controlPort = 'pagefold.control';

/** The port for what commands print. */
export const outputPort = 'pagefold.output';

/** The word on the kernel's command line by which init waits for the ports instead of giving a shell. */
export const controlParameter = 'pagefold.control';

/** What a guest says on the control port. */
export type ControlAnswer =
  | { kind: 'ready' }
  | {
      kind: 'exit';
      /** 0 to 255, as the shell has it: 128 + n when signal n ended the command. */
      status: number;
    };

/** The bytes that ask the guest to run `script`. */
export function execRequest(script: string): Uint8Array {
  const body = new TextEncoder().encode(script);
  const head = new TextEncoder().encode(`exec ${body.length}\n`);
  const request = new Uint8Array(head.length + body.length);
  request.set(head);
  request.set(body, head.length);
  return request;
}

/** The bytes that ask the guest to write out its disks and switch itself off. */
export function poweroffRequest(): Uint8Array {
  return new TextEncoder().encode('poweroff\n');
}

/** What a guest sent on the control port is not what init sends. */
export class ControlError extends Error {
  override name = 'ControlError';
}

/** No answer is longer; a guest that sends more without a line feed breaks the protocol. */
const longestAnswer = 64;

/** Puts the answers of a guest together from the bytes that arrive on the control port. */
export class ControlReader {
  #line = '';

  /** The answers that `bytes` complete. Throws {@link ControlError} when the guest breaks the protocol. */
  push(bytes: Uint8Array): ControlAnswer[] {
    const answers: ControlAnswer[] = [];
    for (const byte of bytes) {
      if (byte === 0x0a) {
        answers.push(parseAnswer(this.#line));
        this.#line = '';
      } else {
        this.#line += String.fromCharCode(byte);
        if (this.#line.length > longestAnswer) throw broken(this.#line);
      }
    }
    return answers;
  }
}

function parseAnswer(line: string): ControlAnswer {
  if (line === 'ready') return { kind: 'ready' };
  const status = /^exit (\d{1,3})$/.exec(line)?.[1];
  if (status === undefined || Number(status) > 255) throw broken(line);
  return { kind: 'exit', status: Number(status) };
}

function broken(line: string): ControlError {
  return new ControlError(`the guest sent ${JSON.stringify(line)} on port ${controlPort}`);
}
