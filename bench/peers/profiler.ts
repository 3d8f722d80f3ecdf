/** V8's profiler of the thread that it is started on. */
import { Session } from 'node:inspector/promises';
import { type KindTimes, samplingInterval, sumUp } from './profile.ts';

/** See the top of this file. */
export class OwnProfiler {
  readonly #session = new Session();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.setSamplingInterval', { interval: samplingInterval });
    await this.#session.post('Profiler.start');
  }

  /** Ends it, and tells what the thread did since the start. It can be started again. */
  async stop(): Promise<KindTimes> {
    const { profile } = await this.#session.post('Profiler.stop');
    this.#session.disconnect();
    return sumUp(profile);
  }
}
