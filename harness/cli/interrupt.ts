/** Ends a run cleanly when the user asks for it: Ctrl-C, or the signals by which systems end programs. */

/** What signals have asked for. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** The exit status by which to end, as the shell has it: 128 and the signal's number; undefined when none came. */
  readonly status: number | undefined;
  /** Signals have their usual effect again. */
  release(): void;
}

const statuses = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Takes signals from now on. The first lets what is going on end in order; the second ends the process at once. */
export function interruptible(): Interruption {
  const controller = new AbortController();
  let status: number | undefined;
  const listeners = Object.entries(statuses).map(([name, its]) => {
    const listener = () => {
      if (status !== undefined) process.exit(its);
      status = its;
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
