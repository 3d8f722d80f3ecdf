import { createCipheriv } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { StateReader, StateWriter } from '../state/state.ts';
import { ChaCha20, SEED_BYTES } from './chacha20.ts';
import { VirtioPci } from './pci.ts';
import { VirtioRng } from './rng.ts';
import { digest, KICK_DELAY, TestMachine, type TestQueue } from './testing/driver.ts';

const SEED = Uint8Array.from({ length: SEED_BYTES }, (_, i) => i);

function take(source: ChaCha20, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  source.fill(bytes);
  return bytes;
}

test('the stream of the zero key is that of RFC 8439, appendix A.1, vectors 1 and 2', (t) => {
  const stream = Buffer.from(take(new ChaCha20(new Uint8Array(SEED_BYTES)), 128)).toString('hex');
  t.is(
    stream,
    '76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7' +
      'da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586' +
      '9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed' +
      '29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f',
  );
});

test('the stream of any key is that of another implementation, however it is cut', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: SEED_BYTES, maxLength: SEED_BYTES }),
      fc.array(fc.nat({ max: 200 }), { maxLength: 10 }),
      (seed, cuts) => {
        const source = new ChaCha20(seed);
        const stream = Buffer.concat(cuts.map((count) => take(source, count)));
        const other = createCipheriv('chacha20', seed, new Uint8Array(16));
        t.is(stream.toString('hex'), other.update(new Uint8Array(stream.length)).toString('hex'));
      },
    ),
    { seed: 37, numRuns: 50 },
  );
});

test('the stream goes on from any saved place, also over the end of the low counter word', (t) => {
  const load = (source: ChaCha20, counterLow: number, counterHigh: number, used: number): void => {
    const to = new StateWriter();
    for (let i = 0; i < 8; i++) to.u32(i);
    to.u32(counterLow);
    to.u32(counterHigh);
    to.u32(0);
    to.u32(0);
    to.u8(used);
    source.loadState(new StateReader(to.finish()));
  };
  for (const [low, high, used] of [
    [0, 0, 64],
    [1, 0, 0],
    [5, 0, 17],
    [0xffffffff, 0, 64],
    [0, 1, 3],
  ] as const) {
    const first = new ChaCha20(SEED);
    load(first, low, high, used);
    const to = new StateWriter();
    first.saveState(to);
    const second = new ChaCha20(SEED);
    second.loadState(new StateReader(to.finish()));
    const again = new StateWriter();
    second.saveState(again);
    t.deepEqual(again.finish(), to.finish());
    t.deepEqual(take(second, 150), take(first, 150));
  }
  const before = new ChaCha20(SEED);
  const after = new ChaCha20(SEED);
  load(before, 0xffffffff, 0, 64);
  load(after, 0, 1, 64);
  t.deepEqual(take(before, 128).subarray(64), take(after, 64));
});

test('a seed of another length is refused', (t) => {
  t.throws(() => new ChaCha20(new Uint8Array(16)), { message: /32 bytes, not 16/ });
});

interface Setup {
  machine: TestMachine;
  rng: VirtioRng;
  queue: TestQueue;
}

function setup(): Setup {
  const machine = new TestMachine();
  const rng = new VirtioRng(machine.environment, 'rng0', new ChaCha20(SEED));
  const driver = machine.plug(new VirtioPci(rng.device, machine.pc.deliver));
  return { machine, rng, queue: driver.start([], 1)[0]! };
}

test('the device fills buffers with its seeded stream', (t) => {
  const { queue, rng } = setup();
  const expected = take(new ChaCha20(SEED), 100);
  const [first] = queue.exchange([10, 0, 54]);
  const [second] = queue.exchange([36]);
  t.deepEqual([first!.length, second!.length], [64, 36]);
  t.deepEqual(Buffer.concat([first!.data, second!.data]), Buffer.from(expected));
  t.deepEqual(rng.counters, { requests: 2, bytes: 100 });
});

test('the device has no configuration structure, and gives at most 4096 bytes at once', (t) => {
  const { machine, queue } = setup();
  t.is(machine.pc.readConfig(4, 2, 2), 0x1044);
  t.is(queue.exchange([10000])[0]!.length, 4096);
});

test('a readable or an empty buffer breaks the device', (t) => {
  for (const elements of [[new Uint8Array(4), 4], [0]]) {
    const { queue, rng } = setup();
    queue.exchange(elements);
    t.regex(rng.device.reason, /^rng0: an entropy buffer must be writable only/);
  }
});

test('saved state continues the stream', (t) => {
  const begin = (): Setup => {
    const s = setup();
    s.queue.exchange([13]);
    s.queue.add([40]);
    return s;
  };
  const finish = ({ machine, queue, rng }: Setup): unknown => {
    machine.advance(KICK_DELAY);
    return [queue.takeUsed(), rng.counters, digest(machine.save())];
  };
  const first = begin();
  first.queue.exchange([100]);
  first.queue.kick();
  const state = first.machine.save();
  const second = begin();
  second.queue.exchange([100]);
  second.machine.load(state);
  t.deepEqual(finish(second), finish(first));
});
