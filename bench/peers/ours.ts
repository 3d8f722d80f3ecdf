/** pagefold itself: one process for all guests. */
import type { Image } from '../../workloads/images/store.ts';
import { residentBytes } from './memory.ts';
import { startNodeMachine } from './node-machine.ts';
import type { OursBoot } from './ours-process.ts';
import { commandLine, type GrowingMachine, guestBytes, type Peer, type Setup } from './peer.ts';

/** pagefold as a peer among the others, with what only it can do. */
export interface Ours extends Peer {
  /**
   * Starts guests together on a host that has memory for more.
   * @param capacity how many guests it has memory for
   */
  start(setup: Setup, capacity?: number): Promise<GrowingMachine>;
}

/** Makes it ready. */
export function ours(image: Image, commit: string): Ours {
  return {
    name: 'pagefold',
    description: `pagefold ${commit} on Node ${process.versions.node}, one process for all guests`,
    several: true,
    start: async ({ guests, kaslr }, capacity = guests) => {
      const { kernel, initrd } = image;
      const boot: OursBoot = {
        ...{ guests, capacity, guestBytes, kernel, initrd },
        commandLine: commandLine(kaslr),
      };
      // The bench is started with the options of Node that pagefold's command is started with.
      const { execArgv } = process;
      const machine = await startNodeMachine('ours-process.ts', boot, guests, capacity, execArgv);
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
