import test from 'ava';
import fc from 'fast-check';
import { StateReader, StateWriter } from '../../state/state.ts';
import { EthernetSwitch, type SwitchPort } from './switch.ts';

const DELAY = 1000;
const BROADCAST = 0xffffffffffff;

/** A frame whose last byte tells it from others. */
function frame(to: number, from: number, mark = 0): Uint8Array {
  const bytes = new Uint8Array(15);
  for (let i = 0; i < 6; i++) {
    bytes[5 - i] = Math.floor(to / 256 ** i);
    bytes[11 - i] = Math.floor(from / 256 ** i);
  }
  bytes[14] = mark;
  return bytes;
}

interface Setup {
  lan: EthernetSwitch;
  ports: SwitchPort[];
  /** What arrived, as [port, mark, due], in order. */
  arrived: [number, number, number][];
}

function setup(count: number): Setup {
  const lan = new EthernetSwitch(DELAY);
  const arrived: [number, number, number][] = [];
  const ports = Array.from({ length: count }, (_, port) =>
    lan.connect({ receive: (bytes, due) => arrived.push([port, bytes[14]!, due]) }),
  );
  return { lan, ports, arrived };
}

/** Station `n`'s address: locally administered, of one station. */
const station = (n: number): number => 0x020000000000 + n;

test('frames wait for the exchange and arrive the delay after they were sent', (t) => {
  const { lan, ports, arrived } = setup(2);
  ports[0]!.send(frame(BROADCAST, station(0), 7), 500);
  t.deepEqual(arrived, []);
  lan.exchange();
  t.deepEqual(arrived, [[1, 7, 1500]]);
  lan.exchange();
  t.is(arrived.length, 1);
});

test('a frame goes to all other ports until its station is known, then to that one', (t) => {
  const { lan, ports, arrived } = setup(3);
  ports[0]!.send(frame(station(2), station(0), 1), 0);
  lan.exchange();
  t.deepEqual(
    arrived.map(([port]) => port),
    [1, 2],
  );
  ports[2]!.send(frame(station(0), station(2), 2), 1);
  ports[0]!.send(frame(station(2), station(0), 3), 2);
  arrived.length = 0;
  lan.exchange();
  t.deepEqual(
    arrived.map(([port, mark]) => [port, mark]),
    [
      [0, 2],
      [2, 3],
    ],
  );
  t.deepEqual(lan.counters, { forwarded: 2, flooded: 1, filtered: 0, lost: 0 });
});

test('a station that moves to another port is followed, and frames to the port they came from stay there', (t) => {
  const { lan, ports, arrived } = setup(3);
  ports[0]!.send(frame(BROADCAST, station(9)), 0);
  ports[1]!.send(frame(BROADCAST, station(9)), 1);
  ports[2]!.send(frame(station(9), station(2), 5), 2);
  ports[1]!.send(frame(station(9), station(1), 6), 3);
  lan.exchange();
  t.deepEqual(
    arrived.slice(4).map(([port, mark]) => [port, mark]),
    [[1, 5]],
  );
  t.is(lan.counters.filtered, 1);
});

test('groups are never learned', (t) => {
  const { lan, ports, arrived } = setup(3);
  ports[0]!.send(frame(BROADCAST, 0x0100_5e00_0001), 0);
  ports[1]!.send(frame(0x0100_5e00_0001, station(1), 4), 1);
  lan.exchange();
  t.deepEqual(
    arrived.filter(([, mark]) => mark === 4).map(([port]) => port),
    [0, 2],
  );
});

test('an address is forgotten after 300 s of silence', (t) => {
  const { lan, ports, arrived } = setup(3);
  ports[0]!.send(frame(BROADCAST, station(0)), 0);
  ports[1]!.send(frame(station(0), station(1), 1), 300e9);
  ports[1]!.send(frame(station(0), station(1), 2), 300e9 + 1);
  lan.exchange();
  t.deepEqual(
    arrived.slice(2).map(([port, mark]) => [port, mark]),
    [
      [0, 1],
      [0, 2],
      [2, 2],
    ],
  );
});

test('of more addresses than are remembered, the one heard from longest ago goes', (t) => {
  const { lan, ports, arrived } = setup(3);
  for (let n = 0; n < 1024; n++) {
    ports[0]!.send(frame(BROADCAST, station(n)), n);
    if (n === 1000) lan.exchange();
  }
  lan.exchange();
  ports[1]!.send(frame(station(0), station(1023), 3), 1999);
  lan.exchange();
  t.deepEqual(arrived.at(-1)!.slice(0, 2), [0, 3], 'the first of 1024 is still remembered');
  t.is(lan.counters.forwarded, 1);
  ports[0]!.send(frame(BROADCAST, station(0)), 2000);
  lan.exchange();
  ports[0]!.send(frame(BROADCAST, station(5000)), 2001);
  lan.exchange();
  arrived.length = 0;
  ports[1]!.send(frame(station(0), station(5000), 1), 2002);
  ports[1]!.send(frame(station(1), station(5000), 2), 2003);
  lan.exchange();
  t.deepEqual(
    arrived.map(([port, mark]) => [port, mark]),
    [
      [0, 1],
      [0, 2],
      [2, 2],
    ],
  );
});

test('a port takes 1024 frames in a round', (t) => {
  const { lan, ports, arrived } = setup(2);
  for (let i = 0; i < 1030; i++) ports[0]!.send(frame(BROADCAST, station(0)), i);
  lan.exchange();
  t.is(arrived.length, 1024);
  t.is(lan.counters.lost, 6);
  ports[0]!.send(frame(BROADCAST, station(0)), 5000);
  lan.exchange();
  t.is(arrived.length, 1025);
});

const sending = fc.record({
  port: fc.nat({ max: 3 }),
  to: fc.oneof(fc.nat({ max: 5 }), fc.constant(BROADCAST)),
  from: fc.nat({ max: 5 }),
  time: fc.nat({ max: 20 }),
});
type Sending = typeof sending extends fc.Arbitrary<infer T> ? T : never;

test('what arrives does not depend on the order in which guests ran within the round', (t) => {
  const run = (order: readonly number[], sendings: readonly Sending[]): unknown => {
    const { lan, ports, arrived } = setup(4);
    for (const port of order) {
      sendings.forEach((each, mark) => {
        if (each.port === port) ports[port]!.send(frame(each.to, each.from, mark), each.time);
      });
    }
    lan.exchange();
    return [arrived, lan.counters];
  };
  fc.assert(
    fc.property(
      fc.array(sending, { maxLength: 30, size: 'max' }),
      fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }),
      (sendings, order) => {
        t.deepEqual(run(order, sendings), run([0, 1, 2, 3], sendings));
      },
    ),
    { seed: 38, numRuns: 100 },
  );
});

test('saved state continues in the middle of a round', (t) => {
  const play = ({ ports }: Setup, sendings: readonly Sending[]): void => {
    sendings.forEach((each, mark) => {
      ports[each.port]!.send(frame(each.to, each.from, mark), each.time);
    });
  };
  fc.assert(
    fc.property(fc.array(sending), fc.array(sending), fc.array(sending), (before, middle, after) => {
      const first = setup(4);
      play(first, before);
      first.lan.exchange();
      play(first, middle);
      const to = new StateWriter();
      first.lan.saveState(to);
      const second = setup(4);
      play(second, after);
      second.lan.exchange();
      second.arrived.length = 0;
      second.lan.loadState(new StateReader(to.finish()));
      const again = new StateWriter();
      second.lan.saveState(again);
      t.deepEqual(again.finish(), to.finish());
      first.arrived.length = 0;
      for (const each of [first, second]) {
        each.lan.exchange();
        play(each, after);
        each.lan.exchange();
      }
      t.deepEqual(second.arrived, first.arrived);
      t.deepEqual(second.lan.counters, first.lan.counters);
    }),
    { seed: 39, numRuns: 100 },
  );
});
