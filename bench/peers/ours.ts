/** pagefold itself: one process for all guests. */
import type { Image } from '../../workloads/images/store.ts';
import { residentBytes } from './memory.ts';
import { type NodeMachine, startNodeMachine } from './node-machine.ts';
import type { OursBoot } from './ours-process.ts';
import { commandLine, type GrowingMachine, guestBytes, type Peer, type Setup } from './peer.ts';

/** pagefold as a peer among the others, with what only it can do. */
export interface Ours extends Peer {
  /**
   * Starts guests together on a host that has memory for more.
   * @param capacity how many guests it has memory for
   */
  start(setup: Setup, capacity?: number): Promise<GrowingMachine>;
  /** Starts one guest; a profile has begun before it is switched on. */
  startProfiled(): Promise<ProfiledMachine>;
}

/** A machine whose process V8's profiler looks at. */
export type ProfiledMachine = Pick<NodeMachine, 'consoles' | 'startProfile' | 'stopProfile' | 'stop'>;

/** Makes it ready. */
export function ours(image: Image, commit: string): Ours {
  const start = ({ guests, kaslr }: Setup, capacity: number, profile: boolean) => {
    const { kernel, initrd } = image;
    const boot: OursBoot = {
      ...{ guests, capacity, guestBytes, kernel, initrd, profile },
      commandLine: commandLine(kaslr),
    };
    // The bench is started with the options of Node that pagefold's command is started with.
    const { execArgv } = process;
    return startNodeMachine('ours-process.ts', boot, guests, capacity, execArgv);
  };
  return {
    name: 'pagefold',
    description: `pagefold ${commit} on Node ${process.versions.node}, one process for all guests`,
    several: true,
    startProfiled: () => start({ guests: 1, kaslr: true }, 1, true),
    start: async (setup, capacity = setup.guests) => {
      const machine = await start(setup, capacity, false);
      return {
        ...machine,
        guestPages: async () => (await machine.figures()).guestBytes,
        freeFrames: async () => {
          const { frames, guestBytes: used } = await machine.figures();
          const { size, from, length } = frames!;
          return (await residentBytes(machine.pids[0]!, size, from, length)) - used;
        },
        translatedShare: async () => {
          const { translatedInstructions, instructions } = await machine.figures();
          return translatedInstructions / instructions;
        },
      };
    },
  };
}
