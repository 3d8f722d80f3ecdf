/** Ends a run cleanly when the user asks for it: Ctrl-C, or the signals by which systems end programs. */

/** What signals have asked for. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** The exit status by which to end, as the shell has it: 128 and the signal's number; undefined when none came. */
  readonly status: number | undefined;
  /** Signals have their usual effect again. */
  release(): void;
}

/**
 * The terminal sends a signal to every process of the command, and npm and pagefold's entry hand on what they get: one
 * Ctrl-C may come several times. What comes within this many ms is the same one.
 */
const sameWithin = 500;

const statuses = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Takes signals from now on. The first lets what is going on end in order; the second ends the process at once. */
export function interruptible(): Interruption {
  const controller = new AbortController();
  let status: number | undefined;
  let first = 0;
  const listeners = Object.entries(statuses).map(([name, its]) => {
    const listener = () => {
      if (status !== undefined && performance.now() - first > sameWithin) process.exit(its);
      if (status !== undefined) return;
      status = its;
      first = performance.now();
      controller.abort();
    };
    process.on(name, listener);
    return () => process.off(name, listener);
  });
  return {
    signal: controller.signal,
    get status() {
      return status;
    },
    release() {
      for (const stop of listeners) stop();
    },
  };
}
