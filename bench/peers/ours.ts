/** pagefold itself: one process for all guests. */
import type { Image } from '../../workloads/images/store.ts';
import { startNodeMachine } from './node-machine.ts';
import type { OursBoot } from './ours-process.ts';
import { commandLine, type GrowingMachine, guestBytes, type Peer } from './peer.ts';

/** pagefold as a peer among the others, with what only it can do. */
export interface Ours extends Peer {
  /**
   * Starts guests together on a host that has memory for more.
   * @param capacity how many guests it has memory for
   */
  start(guests: number, capacity?: number): Promise<GrowingMachine>;
}

/** Makes it ready. */
export function ours(image: Image, commit: string): Ours {
  return {
    name: 'pagefold',
    description: `pagefold ${commit} on Node ${process.versions.node}, one process for all guests`,
    several: true,
    start: (guests, capacity = guests) => {
      const { kernel, initrd } = image;
      const boot: OursBoot = { guests, capacity, guestBytes, kernel, initrd, commandLine };
      return startNodeMachine('ours-process.ts', boot, guests, capacity);
    },
  };
}
