/** A worker thread that runs guests, as the host's thread sees it. */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { HostMemory } from '../memory/hostmemory.ts';
import { Control, commands, controlBytes } from './control.ts';
import {
  type AnswerTo,
  errorOf,
  type Message,
  type News,
  type Request,
  type TimedFrame,
  type WorkerSetup,
} from './protocol.ts';

/** What a worker needs to know of the host. */
export type ThreadSetup = Omit<WorkerSetup, 'port' | 'control' | 'room' | 'codeBytes'>;

/** Room for a worker's engine beside the store of decoded code, in bytes. */
const engineBytes = 1 << 18;

/** See the top of this file. */
export class GuestThread {
  readonly #control: Control;
  readonly #port: MessagePort;
  /** Frames on their way to its guests, by the guests' numbers. */
  readonly #frames = new Map<number, TimedFrame[]>();
  /** Whether a command was given that is not known to be answered. */
  #awaits = true;
  /** Why it cannot be told anything any more. */
  #gone: Error | undefined;

  /** @param codeBytes size of its store of decoded code */
  constructor(memory: HostMemory, setup: ThreadSetup, codeBytes: number) {
    const control = memory.allocate(controlBytes, 64);
    this.#control = new Control(memory, control);
    const start = memory.allocate(codeBytes + engineBytes, 4096);
    const { port1, port2 } = new MessageChannel();
    const workerData: WorkerSetup = {
      ...setup,
      port: port2,
      control,
      codeBytes,
      room: { memory: memory.memory, start, end: start + codeBytes + engineBytes },
    };
    this.#port = port1;
    // Its first answer says that it is ready.
    this.#control.give(commands.start);
    const worker = new Worker(new URL('worker.ts', import.meta.url), {
      workerData,
      transferList: [port2],
      // Flags of V8 hold for the whole process, and are refused here.
      execArgv: [],
    });
    // It does not keep the process alive, and what happens in it is told by its answers.
    worker.unref();
    port1.unref();
  }

  /** Lets its guests that are in the round run from virtual time `from` to `until`, while this thread goes on. */
  begin(from: number, until: number): void {
    this.#makeReady(from);
    this.#control.until = until;
    this.#control.give(commands.run);
    this.#awaits = true;
  }

  /** Waits until they have, and gives what is new of them, in the order of their numbers. */
  finish(): readonly News[] {
    const news = this.#messages().find((message) => message.kind === 'news');
    return news?.news ?? [];
  }

  /** Asks for something at virtual time `now`, between rounds or parts of them. */
  call<Its extends Request>(request: Its, now: number): AnswerTo<Its['kind']> {
    this.#makeReady(now);
    this.#port.postMessage(request);
    this.#control.give(commands.call);
    this.#awaits = true;
    const answer = this.#messages().find((message) => message.kind === 'answer')!;
    return answer.value as AnswerTo<Its['kind']>;
  }

  /** A frame is to be given to one of its guests: it arrives at virtual time `time`. */
  receive(guest: number, frame: Uint8Array, time: number): void {
    const waiting = this.#frames.get(guest);
    if (waiting === undefined) this.#frames.set(guest, [{ frame, time }]);
    else waiting.push({ frame, time });
  }

  /** Gives its guests the frames that came for them, at virtual time `now`. */
  deliver(now: number): void {
    if (this.#frames.size === 0) return;
    for (const [guest, frames] of this.#frames) this.call({ kind: 'receive', guest, frames }, now);
    this.#frames.clear();
  }

  /** Ends the thread; its guests cannot be asked for anything any more. */
  end(): void {
    if (this.#gone !== undefined) return;
    // It carries this out behind what it is doing; nobody waits for that.
    this.#control.give(commands.end);
    this.#port.close();
    this.#gone = new Error('the host was closed');
  }

  #makeReady(now: number): void {
    if (this.#gone !== undefined) throw this.#gone;
    if (this.#awaits) this.#awaitStart();
    this.#control.from = now;
  }

  /** Every other answer has been waited for where its command was given. */
  #awaitStart(): void {
    try {
      this.#messages();
    } catch (error) {
      this.#gone = new Error(`a worker thread did not start: ${(error as Error).message}`, { cause: error });
      throw this.#gone;
    }
  }

  /** Waits for the answer, and gives what came with it. Throws what went wrong in the worker. */
  #messages(): Message[] {
    const mail = this.#control.awaitAnswer();
    this.#awaits = false;
    if (!mail) return [];
    const messages: Message[] = [];
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; ) {
      messages.push(next.message as Message);
      next = receiveMessageOnPort(this.#port);
    }
    for (const message of messages) if (message.kind === 'failed') throw errorOf(message.failure);
    return messages;
  }
}
