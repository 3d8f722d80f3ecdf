/** Balloon policies with Debian's own driver at the other end. */

import { createHash } from 'node:crypto';
import test from 'ava';
import type { BalloonEvent } from '../../hypervisor/balloon/controller.ts';
import { MomPolicy } from '../../hypervisor/balloon/mom.ts';
import { type BalloonBounds, balloonFeatures, defaultBounds } from '../../hypervisor/balloon/settings.ts';
import { StaticPolicy } from '../../hypervisor/balloon/static.ts';
import type { Guest } from '../../hypervisor/guest.ts';
import { Host } from '../../hypervisor/host.ts';
import { pageSize } from '../../hypervisor/memory/hostmemory.ts';
import type { HostedGuest } from '../../hypervisor/threads/hostedguest.ts';
import { usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { Hints } from '../run/hints.ts';
import { debianFiles, runToEnd, startDebian } from './testing/debian.ts';

const MIB = 1 << 20;
const features = balloonFeatures({
  deflateOnOom: false,
  pagePoison: false,
  freePageReporting: false,
  freePageHinting: false,
});

/** Puts a guest under the host's balloon policy. */
function adopt(host: Host, { space, balloon }: HostedGuest, memory: number, bounds: BalloonBounds): void {
  host.balloons!.add({ id: space.id, memory, bounds, balloon }, host.time);
}

test.serial('a guest gets the size that was set; one without a driver is named', async (t) => {
  const events: BalloonEvent[] = [];
  const host = new Host({
    memory: 512 * MIB,
    translate: usualTranslation,
    balloonPolicy: new StaticPolicy(),
    onBalloonEvent: (event) => events.push(event),
  });
  const options = { balloonFeatures: features };
  const files = await debianFiles();
  const guests = [
    startDebian(host, files, { ...options, seed: 1, script: 'sleep 12; grep MemTotal /proc/meminfo' }),
    startDebian(host, files, {
      ...options,
      seed: 2,
      script: 'sleep 12; grep MemTotal /proc/meminfo',
      parameters: 'module_blacklist=virtio_balloon',
    }),
  ];
  const bounds = { minimum: 64 * MIB, size: 96 * MIB };
  for (const { guest } of guests) adopt(host, guest, 128 * MIB, bounds);
  runToEnd(host, guests, 40e9);
  const [follows, deaf] = guests as [(typeof guests)[0], (typeof guests)[0]];
  t.is(follows.guest.balloon.actual * pageSize, 32 * MIB);
  t.is(deaf.guest.balloon.actual, 0);
  const [small, large] = [follows, deaf].map(({ output }) => Number(/\d+/.exec(output)![0]));
  t.is(large! - small!, 32 * 1024, 'the kernel counts its memory without the balloon, in KiB');
  t.is(events.length, 1);
  const { since, ...event } = events[0]!;
  t.deepEqual(event, {
    event: 'balloon stalled',
    guest: deaf.guest.space.id,
    target: 96 * MIB,
    size: 128 * MIB,
    driven: false,
  });
  t.true(since <= 1e9);
});

test.serial('MOM shrinks a guest that leaves memory unused while the host is short of it', async (t) => {
  const host = new Host({ memory: 128 * MIB, translate: usualTranslation, balloonPolicy: new MomPolicy() });
  const running = startDebian(host, await debianFiles(), {
    memory: 144 * MIB,
    balloonFeatures: features,
    statsInterval: 5e9,
    // It touches memory that it does not need any more afterwards.
    script: 'head -c 60000000 /dev/zero > /tmp/once; rm /tmp/once; sleep 100',
  });
  adopt(host, running.guest, 144 * MIB, defaultBounds(144 * MIB));
  const look = (time: number) => {
    runToEnd(host, [running], time);
    const { balloon } = running.guest;
    return { free: host.pages.classes.free * pageSize, balloon: balloon.actual * pageSize };
  };
  const [early, pressed, eased] = [look(9e9), look(59e9), look(102e9)];
  t.is(early.balloon, 0);
  t.true(early.free < 0.1 * host.pages.books.frames.count * pageSize);
  // A twentieth at once, every 10 s.
  const most = 144 * MIB * (1 - 0.95 ** 5);
  t.true(pressed.balloon > most - MIB && pressed.balloon <= most, `${pressed.balloon} bytes of ${most}`);
  t.true(pressed.free >= early.free + pressed.balloon - 4 * MIB);
  t.true(eased.balloon < pressed.balloon / 2, 'and grows again when the pressure has gone');
});

test.serial(
  'a guest that is asked names its free pages, and the host has them until they are used again',
  async (t) => {
    const host = new Host({ memory: 256 * MIB, translate: usualTranslation });
    const hints = new Hints(2e9);
    const running = startDebian(host, await debianFiles(), {
      balloonFeatures: balloonFeatures({
        deflateOnOom: false,
        pagePoison: false,
        freePageReporting: false,
        freePageHinting: true,
      }),
      script: `cd /tmp; head -c 8000000 /dev/urandom > kept; md5sum < kept; head -c 30000000 /dev/zero > once
      sleep 1; rm once; sleep 4; head -c 30000000 /dev/zero | md5sum > /dev/null
      head -c 30000000 /dev/zero > again; md5sum < again; md5sum < kept`,
    });
    const { guest } = running;
    hints.add(guest);
    const present: number[] = [];
    while (running.status === undefined && host.time < 40e9) {
      host.run(hints.next);
      hints.run(host.time);
      present.push(guest.space.present);
    }
    t.is(running.status, 0);
    const [kept, zeros, again] = running.output.match(/[0-9a-f]{32}/g)!;
    t.is(again, kept);
    t.is(zeros, createHash('md5').update(new Uint8Array(30_000_000)).digest('hex'));
    const { counts } = guest.space.counters;
    const { pagesHinted } = (guest as Guest).balloon.counters;
    t.true(pagesHinted > 10_000, `${pagesHinted}`);
    t.true(counts.reporting_return > 7000, `${counts.reporting_return}`);
    const most = Math.max(...present);
    const least = Math.min(...present.slice(present.indexOf(most)));
    t.true(least < most - 5000, `from ${most} to ${least} pages with a frame`);
  },
);
