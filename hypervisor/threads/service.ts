/**
 * The guests of a worker thread, and what it does for the host: runs them in rounds, and carries out what else the host asks of them. It sees
 * the host's memory and nothing else of it.
 */
import { receiveMessageOnPort } from 'node:worker_threads';
import { Guest, type GuestHost, type GuestNetwork } from '../guest.ts';
import { AddressSpace } from '../memory/addressspace.ts';
import { HostMemory } from '../memory/hostmemory.ts';
import { hashPage } from '../memory/pagehash.ts';
import type { SwapReader } from '../memory/swap/swap.ts';
import { StateWriter } from '../state/state.ts';
import type { FileDisk } from '../virtio/block/file.ts';
import type { FrameReceiver, SwitchPort } from '../virtio/net/switch.ts';
import { Engine } from '../x86/engine.ts';
import { Control, commands } from './control.ts';
import { openDisks } from './disks.ts';
import { GuestBlock } from './guestblock.ts';
import { GuestBooks, swapReader } from './guestbooks.ts';
import { Outputs } from './outputs.ts';
import {
  type AnswerTo,
  failureOf,
  type Message,
  type NewGuest,
  type News,
  type Request,
  type TimedFrame,
  type WorkerSetup,
} from './protocol.ts';

/** What leads to the switch, which is in the host's thread. */
class FarSwitch implements GuestNetwork {
  #receiver: FrameReceiver | undefined;
  #sent: TimedFrame[] = [];

  connect(receiver: FrameReceiver): SwitchPort {
    this.#receiver = receiver;
    return { send: (frame, time) => this.#sent.push({ frame, time }) };
  }

  disconnect(): void {}

  /** Frames come from the switch. */
  receive(frames: readonly TimedFrame[]): void {
    for (const { frame, time } of frames) this.#receiver!.receive(frame, time);
  }

  /** Takes what was sent in the round. */
  take(): readonly TimedFrame[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }
}

/** A guest of the worker. */
interface Member {
  readonly guest: Guest;
  readonly block: GuestBlock;
  readonly outputs: Outputs;
  readonly network: FarSwitch;
  readonly disks: readonly FileDisk[];
  /** Whether the host knows that it has ended. */
  endTold: boolean;
}

/** See the top of this file. */
export class GuestService {
  readonly #setup: WorkerSetup;
  readonly #control: Control;
  readonly #engine: Engine;
  readonly #swap: SwapReader | undefined;
  /** In the order of their numbers. */
  readonly #members = new Map<number, Member>();

  constructor(setup: WorkerSetup) {
    this.#setup = setup;
    const memory = new HostMemory(setup.frameBytes, setup.arenaBytes, setup.room);
    const hash = hashPage(memory);
    this.#control = new Control(memory, setup.control);
    this.#engine = new Engine(memory, hash, setup.codeBytes, setup.translate);
    this.#swap = setup.swap === undefined ? undefined : swapReader(memory, setup.swap, hash);
  }

  /** Does what the host says until it says that this is the end. */
  serve(): void {
    this.#control.answer(false);
    for (;;) {
      const command = this.#control.awaitCommand();
      if (command === commands.end) return;
      this.#control.answer(this.#carryOut(command));
    }
  }

  /** Carries a command out; gives whether messages were sent. */
  #carryOut(command: number): boolean {
    try {
      if (command === commands.run) return this.#run();
      const { message } = receiveMessageOnPort(this.#setup.port) as { message: Request };
      this.#send({ kind: 'answer', value: this.#answer(message) });
    } catch (error) {
      this.#send({ kind: 'failed', failure: failureOf(error) });
    }
    return true;
  }

  #send(message: Message): void {
    this.#setup.port.postMessage(message);
  }

  /** Runs the part of the round; gives whether there is news. */
  #run(): boolean {
    const news: News[] = [];
    for (const [number, member] of this.#members) {
      const { guest } = member;
      if (!guest.space.inRound) continue;
      settle(member);
      guest.run(this.#control.until);
      publish(member);
      const written = member.outputs.take();
      const frames = member.network.take();
      const log = guest.space.log.takeRest();
      const end = member.endTold ? undefined : guest.end;
      const { failure } = guest.space;
      guest.space.failure = undefined;
      member.endTold = guest.end !== undefined;
      if (written === undefined && frames.length === 0 && log === undefined && end === undefined) continue;
      news.push({ guest: number, written, frames, log, end, failure });
    }
    if (news.length > 0) this.#send({ kind: 'news', news });
    return news.length > 0;
  }

  #answer(request: Request): unknown {
    if (request.kind === 'add') return this.#add(request.guest, request);
    const member = this.#members.get(request.guest)!;
    settle(member);
    const answer = this.#ask(request, member);
    publish(member);
    return answer;
  }

  #add(number: number, { space, block, room, options, ports, station }: NewGuest): AnswerTo<'add'> {
    const { frameBytes, arenaBytes, room: engineRoom, costs, frameTables, zeroFrame } = this.#setup;
    const memory = new HostMemory(frameBytes, arenaBytes, { memory: engineRoom.memory, ...room });
    const books = new GuestBooks(memory, frameTables, zeroFrame, this.#swap);
    const control = this.#control;
    const host: GuestHost = {
      engine: this.#engine,
      costs,
      pages: {
        add: () => new AddressSpace(books, space, costs),
        remove: (its) => its.dispose(),
      },
      get time() {
        return control.from;
      },
    };
    const outputs = new Outputs();
    const network = new FarSwitch();
    const disks = openDisks(options.disks);
    const guest: Guest = new Guest(host, {
      ...options,
      disks,
      serialOutput: (byte) => outputs.serial(byte),
      ports: ports.map((name, port) => ({
        ...(name === undefined ? {} : { name }),
        onOutput: (bytes) => outputs.port(port, bytes, guest.time),
      })),
      network: { connect: network, station },
    });
    const member = {
      guest,
      block: new GuestBlock(memory, block, guest.cpus.length),
      outputs,
      network,
      disks,
      endTold: false,
    };
    this.#members.set(number, member);
    publish(member);
    return guest.cpus.map(({ vcpu }) => vcpu.base);
  }

  #ask(request: Exclude<Request, { kind: 'add' }>, { guest, network, disks }: Member): unknown {
    switch (request.kind) {
      case 'remove':
        guest.dispose();
        for (const disk of disks) disk.close();
        this.#members.delete(request.guest);
        return undefined;
      case 'enter':
        return guest.enter(request.entry);
      case 'serial input':
        return guest.serialInput(request.bytes);
      case 'input':
        return guest.console.input(request.port, request.bytes);
      case 'open':
        return guest.console.setOpen(request.port, request.open);
      case 'balloon target':
        return guest.balloon.setTarget(request.pages);
      case 'statistics':
        return guest.balloon.setStatsInterval(request.interval);
      case 'hinting':
        return request.does === 'start' ? guest.balloon.startHinting() : guest.balloon.finishHinting();
      case 'receive':
        return network.receive(request.frames);
      case 'stop':
        return guest.stop(request.reason);
      case 'figures':
        return figuresOf(guest);
      case 'save':
        return guest.machineState();
      case 'load':
        return guest.takeMachineState(request.state);
    }
  }
}

/** Lets a guest know what the host has decided since it last did anything. */
function settle({ guest, block }: Member): void {
  for (const [index, cpu] of guest.cpus.entries()) {
    const its = block.cpus[index]!;
    const served = its.takeServed();
    if (served !== undefined) guest.resume(index, served.resumed, served.since, served.cause);
    cpu.hasCpu = its.hasCpu;
    cpu.executed = its.executed;
  }
}

/** Lets the host know what has become of a guest. */
function publish({ guest, block }: Member): void {
  block.nextEvent = guest.nextEvent;
  block.time = guest.time;
  for (const [index, cpu] of guest.cpus.entries()) {
    const its = block.cpus[index]!;
    its.hasCpu = cpu.hasCpu;
    its.idle = cpu.idle;
    its.blockedUntil = cpu.blockedUntil;
    its.executed = cpu.executed;
  }
}

function figuresOf(guest: Guest): AnswerTo<'figures'> {
  const writer = new StateWriter();
  guest.measures.saveState(writer);
  const { target, actual, driven, stats, givesHints, hintingPhase } = guest.balloon;
  return {
    measures: writer.finish(),
    instructions: guest.instructions,
    translatedInstructions: guest.translatedInstructions,
    balloon: { target, actual, driven, stats, givesHints, hintingPhase },
  };
}
