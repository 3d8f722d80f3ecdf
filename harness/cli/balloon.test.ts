/** Balloon policies with Debian's own driver at the other end. */

import test from 'ava';
import type { BalloonEvent } from '../../hypervisor/balloon/controller.ts';
import { MomPolicy } from '../../hypervisor/balloon/mom.ts';
import { balloonFeatures } from '../../hypervisor/balloon/settings.ts';
import { StaticPolicy } from '../../hypervisor/balloon/static.ts';
import { Host } from '../../hypervisor/host.ts';
import { pageSize } from '../../hypervisor/memory/hostmemory.ts';
import { usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { debianFiles, runToEnd, startDebian } from './testing/debian.ts';

const MIB = 1 << 20;
const features = balloonFeatures({
  deflateOnOom: false,
  pagePoison: false,
  freePageReporting: false,
  freePageHinting: false,
});

test.serial('a guest gets the size that was set; one without a driver is named', async (t) => {
  const events: BalloonEvent[] = [];
  const host = new Host({
    memory: 512 * MIB,
    translate: usualTranslation,
    balloonPolicy: new StaticPolicy(),
    onBalloonEvent: (event) => events.push(event),
  });
  const options = { balloonFeatures: features, balloonBounds: { minimum: 64 * MIB, size: 96 * MIB } };
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
