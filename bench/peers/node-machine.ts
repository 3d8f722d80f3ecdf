/** Guests in a Node process of their own that speaks `protocol.ts`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { GuestConsole } from './console.ts';
import type { GrowingMachine } from './peer.ts';
import type { KindTimes } from './profile.ts';
import type { Figures, Notice, Request } from './protocol.ts';

/** A machine whose process can be asked for figures and profiles. */
export interface NodeMachine extends GrowingMachine {
  figures(): Promise<Figures>;
  startProfile(): void;
  stopProfile(): Promise<KindTimes>;
}

/** What pagefold's command loads first: the start of the process is that of a user who has started it before. */
const loading = new URL('../../harness/cli/loading.js', import.meta.url).href;

/** How much of what the process complains of is told. */
const complaintTail = 2000;

/**
 * Starts the program, a file of this folder, with `boot` as its argument in JSON, and gives the machine when `guests` guests are
 * switched on.
 * @param capacity how many guests there may be, with those that are added later
 * @param execArgv Node's own options
 */
export async function startNodeMachine(
  program: string,
  boot: unknown,
  guests: number,
  capacity: number,
  execArgv: readonly string[],
): Promise<NodeMachine> {
  const processStarted = performance.now();
  const child = fork(fileURLToPath(new URL(program, import.meta.url)), [JSON.stringify(boot)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: [...execArgv, '--import', loading],
  });
  const exited = once(child, 'exit');
  const send = (request: Request) => {
    if (child.connected) child.send(request);
  };
  const consoles = Array.from({ length: capacity }, () => {
    return new GuestConsole((text) => send({ kind: 'input', text }));
  });
  const started = Array.from({ length: capacity }, () => Promise.withResolvers<number>());
  let figures = Promise.withResolvers<Figures>();
  let profile = Promise.withResolvers<KindTimes>();
  child.on('message', (message) => {
    const notice = message as Notice;
    if (notice.kind === 'console') consoles[notice.guest]!.push(notice.text);
    else if (notice.kind === 'started') started[notice.guest]!.resolve(performance.now());
    else if (notice.kind === 'figures') figures.resolve(notice.figures);
    else if (notice.kind === 'profile') profile.resolve(notice.times);
    else consoles[notice.guest]!.ended(notice.reason);
  });
  const complaint = collectComplaints(child);
  child.on('exit', (status, signal) => {
    const reason = `the process of ${program} ended (${signal ?? `status ${status}`}) ${complaint()}`.trim();
    for (const console of consoles) console.ended(reason);
    for (const each of started) each.reject(new Error(reason));
    figures.reject(new Error(reason));
    profile.reject(new Error(reason));
  });
  // Those that nobody waits for.
  for (const { promise } of started) promise.catch(() => {});
  figures.promise.catch(() => {});
  profile.promise.catch(() => {});

  const switchedOn = await Promise.all(started.slice(0, guests).map(({ promise }) => promise));
  let count = guests;
  return {
    processStarted,
    switchedOn,
    consoles: consoles.slice(0, guests),
    pids: [child.pid!],
    pause: async () => send({ kind: 'pause' }),
    resume: async () => send({ kind: 'resume' }),
    figures: () => {
      figures = Promise.withResolvers();
      send({ kind: 'figures' });
      return figures.promise;
    },
    startProfile: () => send({ kind: 'startProfile' }),
    stopProfile: () => {
      profile = Promise.withResolvers();
      send({ kind: 'stopProfile' });
      return profile.promise;
    },
    add: async () => {
      const guest = count++;
      send({ kind: 'add' });
      return { switchedOn: await started[guest]!.promise, console: consoles[guest]! };
    },
    stop: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

function collectComplaints(child: ChildProcess): () => string {
  let text = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-complaintTail);
  });
  return () => text;
}
