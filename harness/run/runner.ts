/**
 * Runs a scenario on a host in virtual time and writes its folder.
 *
 * Time goes on in steps. Between two of them guests are switched on, phases are carried out, what workloads said is
 * read, and samples are taken: always at times that the scenario alone decides, so that no figure depends on how fast
 * the machine is. Only an interruption comes whenever it comes, and it ends the run.
 */
import { arch, cpus, release, type as systemType, totalmem } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { columns, type GuestState } from '../../reports/format/columns.ts';
import type { Cell } from '../../reports/format/csv.ts';
import type { RunEvent } from '../../reports/format/lines.ts';
import { formatVersion } from '../../reports/format/names.ts';
import type { Result } from '../../reports/format/result.ts';
import { RunFolderWriter } from '../../reports/format/write.ts';
import { startRequest } from '../../workloads/catalog.ts';
import { type LatencyLine, type ReportLine, ReportReader } from '../../workloads/report.ts';
import type { Phase } from '../scenario/phases.ts';
import { guestsNamed } from '../scenario/resolve.ts';
import { formatTime } from '../scenario/units.ts';
import type { GuestListener, MakeHost, RunHost } from './host.ts';
import { Latencies } from './latencies.ts';
import type { RunPlan } from './plan.ts';
import { SampleKeeper, summarize } from './summary.ts';

/** What is told while a run goes on. */
export interface RunState {
  /** Virtual time, and where it ends, in ns. */
  readonly time: number;
  readonly duration: number;
  readonly guestsUp: number;
  readonly guests: number;
  /** Guest pages that share a frame; undefined when nothing merges. */
  readonly mergedPages: number | undefined;
}

/** How a run is carried out. */
export interface RunOptions {
  readonly makeHost: MakeHost;
  /** The folder in which the run's folder is made. */
  readonly out: string;
  readonly workers: number;
  /** Proves the books of the host's memory at each sample; the run fails when they are wrong. */
  readonly check: boolean;
  /** Ends the run after the present step. */
  readonly signal: AbortSignal;
  readonly progress: (state: RunState) => void;
}

/** What has become of a run. */
export interface RunOutcome {
  /** Its folder, which has a partial name when the run did not come to its end. */
  readonly folder: string;
  readonly result: Result;
}

/** Of a line that is no report, so much is quoted. */
const longestQuote = 200;
/** Virtual ns of a step: workloads' lines carry times no finer than this. */
const step = 10e6;

/**
 * Carries out a run. When it is interrupted, or the host fails, the folder says so and holds what there was.
 * @throws what the host threw, after the folder has been written
 */
export async function runScenario(plan: RunPlan, options: RunOptions): Promise<RunOutcome> {
  const run = new Run(plan, options);
  try {
    await run.begin();
    let failure: unknown;
    let reason: string | undefined;
    try {
      await run.loop();
      if (options.signal.aborted) reason = `interrupted at ${formatTime(run.time)} of virtual time`;
    } catch (error) {
      failure = error;
      reason = `the host failed at ${formatTime(run.time)} of virtual time: ${(error as Error).message}`;
    }
    const outcome = run.finish(reason);
    if (failure !== undefined) throw failure;
    return outcome;
  } finally {
    run.close();
  }
}

/** Columns that the runner fills itself. */
const ownColumns = ['time_ns', 'guests_up', 'guests_ended', 'believed_bytes', 'guest', 'state'];

/** Lines of that event were checked when they were read. */
function isLatency(line: ReportLine): line is LatencyLine {
  return line.event === 'latency';
}

class Run {
  readonly #plan: RunPlan;
  readonly #options: RunOptions;
  #host!: RunHost;
  #writer!: RunFolderWriter;
  readonly #states: GuestState[];
  readonly #readers: ReportReader[];
  readonly #latencies: Latencies;
  readonly #samples = new SampleKeeper();
  readonly #phases: Phase[];
  #warm = false;
  #merging = false;

  constructor(plan: RunPlan, options: RunOptions) {
    this.#plan = plan;
    this.#options = options;
    const { guests, scenario } = plan;
    this.#states = guests.map(() => 'waiting');
    this.#readers = guests.map(() => new ReportReader());
    this.#latencies = new Latencies(guests.map((each) => each.plan.name));
    this.#phases = [...scenario.phases];
  }

  get time(): number {
    return this.#host.time;
  }

  async begin(): Promise<void> {
    const { scenario, guests, digest, pagefold, parameters, images, folderName, scannerFile } = this.#plan;
    const listener: GuestListener = {
      console: (guest, bytes) => this.#writer.console(guests[guest]!.plan.name, bytes),
      workload: (guest, bytes, time) => this.#hear(guest, bytes, time),
    };
    const { workers, makeHost } = this.#options;
    this.#host = await makeHost({ scenario, scannerFile, guests, listener, workers });
    const own = columns.filter(
      ({ table, name }) => table === 'latency' || table === 'histogram' || ownColumns.includes(name),
    );
    const [cpu] = cpus();
    this.#writer = await RunFolderWriter.begin(
      join(this.#options.out, folderName),
      {
        formatVersion,
        digest,
        pagefold,
        scenario,
        parameters,
        guests: guests.map(({ plan }) => ({
          name: plan.name,
          group: plan.groupIndex,
          memory: plan.group.memory,
        })),
        images: [...images],
        costs: this.#host.costs,
        machine: {
          cpu: cpu?.model ?? 'unknown',
          cores: cpus().length,
          memory: totalmem(),
          system: `${systemType()} ${release()} ${arch()}`,
          node: process.version,
          workers: this.#options.workers,
        },
        started: new Date().toISOString(),
      },
      [...own, ...this.#host.columns],
    );
  }

  async loop(): Promise<void> {
    const { duration } = this.#plan.scenario;
    this.#act();
    while (this.time < duration && !this.#options.signal.aborted) {
      this.#host.run(this.#nextStop());
      this.#act();
      this.#tell();
      // Lets signals and timers of the process have their turn.
      await turn();
    }
  }

  /** The next time at which there is something to do. */
  #nextStop(): number {
    const { duration, sample, warmup, host } = this.#plan.scenario;
    const multiple = (of: number) => (Math.floor(this.time / of) + 1) * of;
    const times = [
      ...this.#plan.guests.map(({ plan }) => plan.start),
      ...this.#phases.map(({ at }) => at),
      warmup,
      host.ksm === 'off' ? 0 : host.ksm.start,
    ];
    return Math.min(duration, multiple(step), multiple(sample), ...times.filter((time) => time > this.time));
  }

  /** Does all that is due now. */
  #act(): void {
    const { guests, scenario } = this.#plan;
    for (const event of this.#host.takeEvents()) this.#writer.event(event);
    this.#noticeEnds();
    const { ksm } = scenario.host;
    if (ksm !== 'off' && !this.#merging && this.time >= ksm.start) {
      this.#merging = true;
      this.#host.startMerging();
      this.#event('ksm_started');
    }
    for (const [number, { plan }] of guests.entries()) {
      if (this.#states[number] !== 'waiting' || this.time < plan.start) continue;
      this.#states[number] = 'booting';
      this.#host.start(number);
      this.#event('guest_started', number);
    }
    while (this.#phases[0] !== undefined && this.#phases[0].at <= this.time) {
      this.#carryOut(this.#phases.shift()!);
    }
    if (!this.#warm && this.time >= scenario.warmup) {
      this.#warm = true;
      this.#latencies.startCounting(this.#host.faultTimes());
    }
    const isLast = this.time === scenario.duration;
    if (this.time > 0 && (this.time % scenario.sample === 0 || isLast)) this.#sample();
  }

  #event(
    event: string,
    guest?: number,
    more: Readonly<Record<string, unknown>> = {},
    time = this.time,
  ): void {
    const about = guest === undefined ? {} : { guest: this.#plan.guests[guest]!.plan.name };
    this.#writer.event({ time_ns: time, event, ...about, ...more } as RunEvent);
  }

  #noticeEnds(): void {
    for (const [number, state] of this.#states.entries()) {
      if (state !== 'booting' && state !== 'up') continue;
      const ending = this.#host.ending(number);
      if (ending === undefined) continue;
      this.#states[number] = ending.failed ? 'failed' : 'ended';
      this.#event('guest_ended', number, { reason: ending.reason, expected: !ending.failed });
    }
  }

  #carryOut(phase: Phase): void {
    const named = (names: readonly string[]) =>
      names
        .flatMap(
          (name) =>
            guestsNamed(
              name,
              this.#plan.guests.map(({ plan }) => plan),
            ) ?? [],
        )
        .map(({ name }) => this.#plan.guests.findIndex(({ plan }) => plan.name === name));
    this.#event('phase', undefined, { action: phase.do });
    switch (phase.do) {
      case 'set knobs':
        for (const [name, value] of Object.entries(phase.knobs)) {
          const refusal = value === undefined ? undefined : this.#host.setKnob(name, value);
          if (refusal !== undefined) this.#event('knob_refused', undefined, { name, value, reason: refusal });
        }
        break;
      case 'set balloon':
        for (const guest of named(phase.guests)) this.#host.setBalloon(guest, phase.target);
        break;
      case 'remove guests':
        for (const guest of named(phase.guests)) this.#host.remove(guest);
        this.#noticeEnds();
        break;
      case 'start workload':
        for (const guest of named(phase.guests)) {
          this.#host.tellWorkload(guest, startRequest(phase.workload, guest));
        }
        break;
    }
  }

  #hear(guest: number, bytes: Uint8Array, time: number): void {
    const { name } = this.#plan.guests[guest]!.plan;
    for (const reported of this.#readers[guest]!.push(bytes)) {
      if (reported.kind === 'damaged') {
        const { text, reason } = reported;
        this.#event('workload_output_damaged', guest, { reason, line: text.slice(0, longestQuote) }, time);
        continue;
      }
      const { line } = reported;
      if (this.#states[guest] === 'booting') {
        this.#states[guest] = 'up';
        this.#event('guest_up', guest, {}, time);
      }
      const { time_ns: _time, guest: _guest, ...own } = line;
      this.#writer.workloadLine({ time_ns: time, guest: name, ...own });
      const { event, workload } = line;
      if (isLatency(line)) this.#latencies.addLine(guest, line);
      else if (event === 'started') this.#event('workload_started', guest, { workload }, time);
      else if (event === 'finished') this.#event('workload_finished', guest, { workload }, time);
      else if (event === 'error') {
        this.#event('workload_error', guest, { workload, message: line.message }, time);
      }
    }
  }

  #sample(): void {
    if (this.#options.check) this.#host.check();
    const sample = this.#host.sample();
    const up = this.#numbersUp();
    const time = this.time;
    const { guests } = this.#plan;
    const host: Record<string, Cell> = {
      time_ns: time,
      guests_up: up.length,
      guests_ended: this.#states.filter((state) => state === 'ended' || state === 'failed').length,
      believed_bytes: up.reduce((sum, number) => sum + guests[number]!.plan.group.memory, 0),
      ...sample.host,
    };
    const rows = guests.map(({ plan }, number) => ({
      time_ns: time,
      guest: plan.name,
      state: this.#states[number]!,
      ...sample.guests[number],
    }));
    this.#writer.rows('samples', [host]);
    this.#writer.rows('guests', rows);
    this.#samples.add(host, rows);
  }

  #numbersUp(): number[] {
    return [...this.#states.keys()].filter((number) => ['booting', 'up'].includes(this.#states[number]!));
  }

  #tell(): void {
    const { pages_shared: shared, pages_sharing: sharing } = this.#samples.host;
    this.#options.progress({
      time: this.time,
      duration: this.#plan.scenario.duration,
      guestsUp: this.#numbersUp().length,
      guests: this.#states.length,
      mergedPages: typeof shared === 'number' && typeof sharing === 'number' ? shared + sharing : undefined,
    });
  }

  finish(reason: string | undefined): RunOutcome {
    const { scenario, digest, guests } = this.#plan;
    const faults = this.#host.faultTimes();
    const latencies = this.#latencies.records(faults);
    const result = summarize({
      name: scenario.name,
      digest,
      reason,
      virtualNs: this.time,
      hostMemory: scenario.host.memory,
      samples: this.#samples,
      guests: guests.map(({ plan }) => ({ name: plan.name, memory: plan.group.memory })),
      latencies,
      faultsMeasured: faults.length > 0,
      slo: scenario.slo,
      merging: this.#host.merging(),
    });
    const folder = this.#writer.finish({
      ...(reason === undefined ? {} : { reason }),
      finished: new Date().toISOString(),
      peakMemory: 1024 * process.resourceUsage().maxRSS,
      latencies,
      result,
    });
    return { folder, result };
  }

  close(): void {
    this.#host?.close();
  }
}
