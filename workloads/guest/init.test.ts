import test from 'ava';
import { resolveImage } from '../images/resolve.ts';
import { execRequest, poweroffRequest } from './control.ts';
import { haveQemu, type QemuGuest, withQemu } from './testing/qemu.ts';

// Init is tried on QEMU here, so that what fails is init's fault. The tests need QEMU installed.
const testOnQemu = haveQemu ? test.serial : test.skip;

async function exec(guest: QemuGuest, script: string): Promise<number> {
  guest.request(execRequest(script));
  const answer = await guest.answer();
  return answer.kind === 'exit' ? answer.status : -1;
}

for (const name of ['debian-busybox', 'debian-busybox-generic', 'debian-busybox-rt']) {
  testOnQemu(`${name}: init runs the commands that come by the control port`, async (t) => {
    const image = await resolveImage(name);
    await withQemu(image, { ports: true }, async (guest) => {
      t.deepEqual(await guest.answer(), { kind: 'ready' });
      t.is(await exec(guest, 'echo A; echo B >&2; cat; exit 7'), 7, 'input is empty');
      t.is(await exec(guest, ''), 0);
      t.is(await exec(guest, 'kill -KILL $$'), 137);
      t.is(await exec(guest, 'uname -r; md5sum /bin/busybox; pwd; id -u'), 0);
      t.is(await exec(guest, `# ${'x'.repeat(100_000)}\necho long`), 0, 'longer than any buffer on the way');
      t.is(await exec(guest, 'cd /sys/bus/virtio/drivers; ls -d */virtio*'), 0);
      t.is(await exec(guest, 'ping -c 1 127.0.0.1 >/dev/null && mount | grep -c /dev/pts'), 0);
      t.is(await exec(guest, 'kill 0'), 143, 'init is not in the process group of a command');
      guest.request(poweroffRequest());
      const console = await guest.expect(/reboot: Power down/);
      t.notRegex(console, /^init: /m, 'init has nothing to complain of');
      await guest.ended();
      const printed = guest.output().split('\n');
      t.deepEqual(printed.slice(0, 2), ['A', 'B']);
      t.true(printed.includes(image.manifest.kernelRelease));
      t.true(printed.includes(`${image.manifest.contents[0]!.md5}  /bin/busybox`));
      t.true(printed.includes('/root'));
      t.true(printed.includes('long'));
      for (const driver of ['virtio_balloon', 'virtio_console', 'virtio_net', 'virtio_rng']) {
        t.true(
          printed.some((line) => line.startsWith(`${driver}/virtio`)),
          driver,
        );
      }
    });
  });
}

testOnQemu('without a control port, init gives a shell with job control on the console', async (t) => {
  await withQemu(await resolveImage('debian-busybox'), { ports: false }, async (guest) => {
    await guest.expect(/~ # /);
    // One job that tells when it has the terminal, so that the key cannot come too early.
    guest.type("sh -c 'tty; exec sleep 1000'\r");
    await guest.expect(/\n\/dev\/ttyS0/);
    guest.type('\x03');
    await guest.expect(/~ # /);
    guest.type("sh -c 'echo again; exec sleep 1000'\r");
    await guest.expect(/\nagain/);
    guest.type('\x1a');
    await guest.expect(/Stopped/);
    // `wait` does not wait for a job that is stopped, and with one the shell does not exit: `fg` waits until it has died.
    guest.type('kill -KILL %1; fg %1; echo gone\r');
    await guest.expect(/\ngone/);
    guest.type('exit\r');
    await guest.expect(/reboot: Power down/);
    await guest.ended();
    t.pass();
  });
});

testOnQemu('poweroff on the console switches the guest off', async (t) => {
  await withQemu(await resolveImage('debian-busybox'), { ports: false }, async (guest) => {
    await guest.expect(/~ # /);
    guest.type('poweroff\r');
    await guest.expect(/reboot: Power down/);
    await guest.ended();
    t.pass();
  });
});

testOnQemu('a control port that was promised and is missing is told on the console', async (t) => {
  await withQemu(
    await resolveImage('debian-busybox'),
    { ports: false, append: 'pagefold.control' },
    async (guest) => {
      await guest.expect(/init: there is no virtio console port pagefold\.control/);
      await guest.ended();
      t.pass();
    },
  );
});
