/**
 * A guest that runs on a worker thread, as the host's thread sees it. Its memory is here as it is there: in the host's memory, which both see.
 * The rest of it is asked for.
 */
import type { GuestEnd } from '../guest.ts';
import { type GuestFiles, loadGuest } from '../guestfiles.ts';
import { Measures } from '../measures/measures.ts';
import type { AddressSpace } from '../memory/addressspace.ts';
import type { FaultCause } from '../memory/faults.ts';
import { type HostMemory, pageSize } from '../memory/hostmemory.ts';
import type { HostPages } from '../memory/hostpages.ts';
import { GuestRam } from '../platform/guestram.ts';
import { memoryMap } from '../platform/memorymap.ts';
import { hashOf } from '../state/hash.ts';
import { StateReader, type StateWriter } from '../state/state.ts';
import type { HintingPhase } from '../virtio/balloon/hinting.ts';
import type { BalloonStats } from '../virtio/balloon/stats.ts';
import type { EthernetSwitch, SwitchPort } from '../virtio/net/switch.ts';
import type { Engine } from '../x86/engine.ts';
import { processorsRoom } from '../x86/processors.ts';
import { type CpuBlock, GuestBlock, guestBlockBytes } from './guestblock.ts';
import type { GuestThread } from './guestthread.ts';
import type { HostedBalloon, HostedConsole, HostedGuest, PlainOptions } from './hostedguest.ts';
import type { Written } from './outputs.ts';
import type { AnswerTo, Figures, NewGuest, News, Request } from './protocol.ts';

/** The host around a guest that runs elsewhere. */
export interface RemoteHost {
  readonly memory: HostMemory;
  readonly pages: HostPages;
  /** Virtual time in ns. */
  readonly time: number;
  readonly network: EthernetSwitch;
  readonly engine: Pick<Engine, 'core'>;
}

/** See the top of this file. */
export class RemoteGuest implements HostedGuest {
  readonly space: AddressSpace;
  readonly cpus: readonly CpuBlock[];
  readonly console: HostedConsole;
  readonly balloon: HostedBalloon;
  readonly #host: RemoteHost;
  readonly #thread: GuestThread;
  readonly #seed: number;
  readonly #memoryBytes: number;
  readonly #place: Pick<NewGuest, 'block' | 'room'>;
  readonly #block: GuestBlock;
  readonly #port: SwitchPort;
  #end: GuestEnd | undefined;
  #written: Written | undefined;
  /** What was asked last, as long as it holds. */
  #figures: Figures | undefined;
  /** Its time when it was removed. */
  #lastTime: number | undefined;

  constructor(
    host: RemoteHost,
    thread: GuestThread,
    options: PlainOptions,
    ports: readonly (string | undefined)[],
    station: number,
  ) {
    this.#host = host;
    this.#thread = thread;
    this.#seed = options.seed;
    this.#memoryBytes = options.memory;
    const { memory, pages } = host;
    const ram = memoryMap(options.memory).ram.map(({ start, end }) => ({ start, length: end - start }));
    this.space = pages.add(ram, options.mergeable ?? true);
    const block = memory.allocate(guestBlockBytes(options.cpus), 64);
    // Behind the vCPUs a page into which devices read what is in swap.
    const size = processorsRoom(options.cpus) + pageSize;
    const start = memory.allocate(size, pageSize);
    this.#place = { block, room: { start, end: start + size } };
    this.#block = new GuestBlock(memory, block, options.cpus);
    this.cpus = this.#block.cpus;
    for (const cpu of this.cpus) cpu.hasCpu = true;
    const states = this.#ask({
      kind: 'add',
      guest: this.space.id,
      space: this.space.place,
      ...this.#place,
      options,
      ports,
      station,
    });
    this.space.onRemap = (frame) => {
      for (const cpu of states) host.engine.core.forgetFrame(cpu, frame);
    };
    this.#port = host.network.connect({
      receive: (frame, due) => {
        this.#figures = undefined;
        thread.receive(this.space.id, frame, due);
      },
    });
    const guest = this.space.id;
    this.console = {
      input: (port, bytes) => this.#ask({ kind: 'input', guest, port, bytes }),
      setOpen: (port, open) => this.#ask({ kind: 'open', guest, port, open }),
    };
    this.balloon = this.#makeBalloon();
  }

  #makeBalloon(): HostedBalloon {
    const guest = this.space.id;
    const now = () => this.#currentFigures.balloon;
    return {
      get target(): number {
        return now().target;
      },
      get actual(): number {
        return now().actual;
      },
      get driven(): boolean {
        return now().driven;
      },
      get stats(): BalloonStats | undefined {
        return now().stats;
      },
      setTarget: (pages) => this.#ask({ kind: 'balloon target', guest, pages }),
      setStatsInterval: (interval) => this.#ask({ kind: 'statistics', guest, interval }),
      get givesHints(): boolean {
        return now().givesHints;
      },
      get hintingPhase(): HintingPhase {
        return now().hintingPhase;
      },
      finishHinting: () => this.#ask({ kind: 'hinting', guest, does: 'finish' }),
    };
  }

  #ask<Its extends Request>(request: Its): AnswerTo<Its['kind']> {
    if (this.#lastTime !== undefined) throw new Error('the guest is not on this host');
    this.#figures = undefined;
    return this.#thread.call(request, this.#host.time);
  }

  get #currentFigures(): Figures {
    this.#figures ??= this.#ask({ kind: 'figures', guest: this.space.id });
    return this.#figures;
  }

  /** Takes what is new of it behind its part of a round. */
  take({ written, frames, log, end, failure }: News): void {
    for (const { frame, time } of frames) this.#port.send(frame, time);
    if (log !== undefined) this.space.log.addRest(log);
    this.#end ??= end;
    this.space.failure = failure;
    this.#written = written;
  }

  /** It is about to run, so what was asked of it before will not hold. */
  runs(): void {
    this.#figures = undefined;
  }

  /** Takes what it has written in the last part of a round; undefined when that is nothing. */
  takeWritten(): Written | undefined {
    const written = this.#written;
    this.#written = undefined;
    return written;
  }

  get end(): GuestEnd | undefined {
    return this.#end;
  }

  get time(): number {
    const time = this.#lastTime ?? this.#block.time;
    return this.#end === undefined ? Math.max(time, this.#host.time) : time;
  }

  get nextEvent(): number {
    return this.#block.nextEvent;
  }

  get wake(): number {
    if (this.#end !== undefined) return Number.POSITIVE_INFINITY;
    let wake = this.nextEvent;
    for (const cpu of this.cpus) if (!cpu.idle) wake = Math.min(wake, cpu.blockedUntil);
    return wake;
  }

  get measures(): Measures {
    const measures = new Measures();
    measures.loadState(new StateReader(this.#currentFigures.measures));
    return measures;
  }

  get instructions(): number {
    return this.#currentFigures.instructions;
  }

  get translatedInstructions(): number {
    return this.#currentFigures.translatedInstructions;
  }

  boot(files: GuestFiles): void {
    const { space } = this;
    // It has not run, or its CPUs begin anew: nothing is in execution.
    const ram = new GuestRam(space, (page) => {
      if (space.codeOf(page) === 0) return;
      space.setCode(page, 0);
      space.stale = true;
    });
    const entry = loadGuest(ram, files, memoryMap(this.#memoryBytes), this.cpus.length, this.#seed);
    this.#ask({ kind: 'enter', guest: space.id, entry });
  }

  serialInput(bytes: Uint8Array): void {
    this.#ask({ kind: 'serial input', guest: this.space.id, bytes });
  }

  askForHints(): void {
    this.space.watchWrites();
    this.#ask({ kind: 'hinting', guest: this.space.id, does: 'start' });
  }

  resume(cpu: number, time: number, since: number, cause: FaultCause): void {
    this.#figures = undefined;
    const block = this.cpus[cpu]!;
    block.served({ cause, since, resumed: time });
    // It hears of it when it runs next; the host reckons with it from now on.
    block.blockedUntil = time;
  }

  stop(reason: string): void {
    if (this.#end !== undefined) return;
    this.#end = { kind: 'error', reason };
    this.#ask({ kind: 'stop', guest: this.space.id, reason });
  }

  dispose(): void {
    this.stop('it was removed from the host');
    // What was measured of it stays known.
    const figures = this.#currentFigures;
    this.#ask({ kind: 'remove', guest: this.space.id });
    this.#figures = figures;
    this.#lastTime = this.#block.time;
    this.#host.network.disconnect(this.#port);
    const { memory, pages } = this.#host;
    pages.remove(this.space);
    const { block, room } = this.#place;
    memory.release(room.start, room.end - room.start);
    memory.release(block, guestBlockBytes(this.cpus.length));
  }

  machineState(): Uint8Array {
    return this.#ask({ kind: 'save', guest: this.space.id });
  }

  takeMachineState(state: Uint8Array): void {
    this.#ask({ kind: 'load', guest: this.space.id, state });
  }

  saveState(to: StateWriter): void {
    to.bytes(this.machineState());
    to.part('memory', this.space);
  }

  loadState(from: StateReader): void {
    this.takeMachineState(from.bytes());
    from.part('memory', this.space);
  }

  stateHash(): string {
    return hashOf(this);
  }
}
