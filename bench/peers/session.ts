/**
 * One session: all works on all emulators, in rounds. In a round, every emulator boots a guest, then each work is done on one
 * emulator after the other while the others stand still; the next round begins with another emulator. So what disturbs the machine
 * for a while disturbs all alike, and a ratio within a round says more than times do.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { processBytes } from './memory.ts';
import type { Ours } from './ours.ts';
import type { Machine, Peer, Setup } from './peer.ts';
import type { Kind } from './profile.ts';
import { Samples } from './samples.ts';
import { awaitPrompt, timeWork, type Work } from './works.ts';

/** What a session does. */
export interface Plan {
  readonly rounds: number;
  /** Whether the boot of one guest is measured. */
  readonly boot: boolean;
  readonly works: readonly Work[];
  /** Guests that are booted together. */
  readonly together: readonly Setup[];
  /** Whether a second guest is booted beside a first. */
  readonly second: boolean;
}

function describe({ guests, kaslr }: Setup): string {
  return `${guests}${kaslr ? '' : ', nokaslr'}`;
}

/** Names of the measures that are no works. */
export const measures = {
  /** From the process's start to the prompt, ms. */
  boot: 'boot',
  /** From when the guest is switched on to the prompt, ms. */
  bootMachine: 'boot of the machine',
  /** Part of the instructions of a boot that were executed in translated code. */
  translated: 'translated',
  /** The second guest's boot in parts of the first's. */
  second: (kaslr: boolean) => `second${kaslr ? '' : ', nokaslr'}`,
  /** From the first process's start to the last prompt, ms. */
  together: (setup: Setup) => `together ${describe(setup)}`,
  /** Memory of all processes with so many idle guests, bytes. */
  memory: (setup: Setup) => `memory ${describe(setup)}`,
  /** Of it, the guests' own pages, bytes. */
  pages: (setup: Setup) => `pages ${describe(setup)}`,
  /** Of it, free frames of a simulated host, bytes. */
  freeFrames: (setup: Setup) => `free frames ${describe(setup)}`,
  /** Time of a kind of work in the profile of the boot or a work, ms; without a kind, the profile itself, which failed. */
  profile: (of: string, kind?: Kind) => `profile of ${of}${kind === undefined ? '' : `: ${kind}`}`,
};

/** Wall time in ms that guests are left idle before their memory is looked at. */
const idleFor = 2000;

/** Runs a session. `progress` is told each step, as a line of text. */
export async function runSession(
  own: Ours,
  others: readonly Peer[],
  plan: Plan,
  progress: (line: string) => void,
): Promise<Samples> {
  const samples = new Samples();
  const peers: readonly Peer[] = [own, ...others];
  for (let round = 0; round < plan.rounds; round++) {
    const at = round % peers.length;
    const order = [...peers.slice(at), ...peers.slice(0, at)];
    const context = { samples, round, order, progress: (line: string) => progress(`${round + 1}: ${line}`) };
    if (plan.boot || plan.works.length > 0) await runWorks(context, plan);
    for (const setup of plan.together) await runTogether(context, setup);
    if (plan.second) for (const kaslr of [true, false]) await runSecond(context, own, kaslr);
  }
  return samples;
}

interface Context {
  readonly samples: Samples;
  readonly round: number;
  readonly order: readonly Peer[];
  readonly progress: (line: string) => void;
}

/** Does what gives a measurement of a peer (ms, bytes or a share); what goes wrong is recorded in the measurement's place. */
async function attempt(
  { samples, round, progress }: Context,
  measure: string,
  peer: Peer,
  work: () => Promise<number>,
): Promise<boolean> {
  try {
    const value = await work();
    samples.add({ measure, peer: peer.name, round, value });
    progress(`${measure}, ${peer.name}: ${value.toLocaleString('en-US', { maximumFractionDigits: 3 })}`);
    return true;
  } catch (error) {
    const failure = (error as Error).message;
    samples.add({ measure, peer: peer.name, round, failure });
    progress(`${measure}, ${peer.name}: failed: ${failure}`);
    return false;
  }
}

/** Boots a guest on each, and has them work in turns. */
async function runWorks(context: Context, plan: Plan): Promise<void> {
  const machines = new Map<Peer, Machine>();
  const boot = async (peer: Peer) => {
    const machine = await peer.start({ guests: 1, kaslr: true });
    machines.set(peer, machine);
    return { machine, at: (await awaitPrompt(machine.consoles[0]!)).at };
  };
  const discard = async (peer: Peer) => {
    await machines.get(peer)?.stop();
    machines.delete(peer);
  };
  try {
    for (const peer of context.order) {
      let machineMs = 0;
      const booted = await attempt(context, measures.boot, peer, async () => {
        const { machine, at } = await boot(peer);
        machineMs = at - machine.switchedOn[0]!;
        return at - machine.processStarted;
      });
      if (!booted) {
        await discard(peer);
        continue;
      }
      await attempt(context, measures.bootMachine, peer, async () => machineMs);
      const machine = machines.get(peer)!;
      const { translatedShare } = machine;
      if (translatedShare !== undefined) await attempt(context, measures.translated, peer, translatedShare);
      await machine.pause();
    }
    for (const work of plan.works) {
      for (const peer of context.order) {
        const worked = await attempt(context, work.name, peer, async () => {
          // One whose guest was lost by the work before starts anew.
          const machine = machines.get(peer) ?? (await boot(peer)).machine;
          await machine.resume();
          const { ms } = await timeWork(machine.consoles[0]!, work);
          await machine.pause();
          return ms;
        });
        if (!worked) await discard(peer);
      }
    }
  } finally {
    for (const peer of context.order) await discard(peer);
  }
}

/** Boots several guests together on each, and looks at the memory that they take. */
async function runTogether(context: Context, setup: Setup): Promise<void> {
  for (const peer of context.order.filter(({ several }) => several)) {
    let machine: Machine | undefined;
    try {
      const booted = await attempt(context, measures.together(setup), peer, async () => {
        machine = await peer.start(setup);
        const prompts = await Promise.all(machine.consoles.map((each) => awaitPrompt(each, setup.guests)));
        return Math.max(...prompts.map(({ at }) => at)) - machine.processStarted;
      });
      if (!booted || machine === undefined) continue;
      await sleep(idleFor);
      const { pids, guestPages, freeFrames } = machine;
      await attempt(context, measures.memory(setup), peer, async () => {
        const sizes = await Promise.all(pids.map(processBytes));
        return sizes.reduce((sum, size) => sum + size, 0);
      });
      if (guestPages !== undefined) await attempt(context, measures.pages(setup), peer, guestPages);
      if (freeFrames !== undefined) await attempt(context, measures.freeFrames(setup), peer, freeFrames);
    } finally {
      await machine?.stop();
    }
  }
}

/** Boots a guest, and a second one beside it when the first is there. */
async function runSecond(context: Context, own: Ours, kaslr: boolean): Promise<void> {
  await attempt(context, measures.second(kaslr), own, async () => {
    const machine = await own.start({ guests: 1, kaslr }, 2);
    try {
      const first = (await awaitPrompt(machine.consoles[0]!)).at - machine.switchedOn[0]!;
      const { switchedOn, console } = await machine.add();
      return ((await awaitPrompt(console)).at - switchedOn) / first;
    } finally {
      await machine.stop();
    }
  });
}
