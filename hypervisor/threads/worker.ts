/** Where a worker thread begins. Whatever goes wrong when it starts reaches the host, which waits for the first answer. */
import { workerData } from 'node:worker_threads';
import { HostMemory } from '../memory/hostmemory.ts';
import { Control } from './control.ts';
import { failureOf, type Message, type WorkerSetup } from './protocol.ts';

const setup = workerData as WorkerSetup;
const { port, frameBytes, arenaBytes, room } = setup;
try {
  const { GuestService } = await import('./service.ts');
  new GuestService(setup).serve();
} catch (error) {
  const message: Message = { kind: 'failed', failure: failureOf(error) };
  port.postMessage(message);
  new Control(new HostMemory(frameBytes, arenaBytes, room), setup.control).answer(true);
}
port.close();
