/** Two Debian guests on one host reach each other over its switch. */

import { readFile } from 'node:fs/promises';
import test from 'ava';
import { Host } from '../../hypervisor/host.ts';
import { usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import {
  ControlReader,
  controlParameter,
  controlPort,
  execRequest,
  outputPort,
} from '../../workloads/guest/control.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';

/** Two guests, the second of which pings the first, on a host with so many threads. */
async function pingOn(workers: number) {
  const image = await resolveImage('debian-busybox');
  const [kernel, initrd] = await Promise.all([readFile(image.kernel), readFile(image.initrd)]);
  const host = new Host({ memory: 512 << 20, translate: usualTranslation, workers });
  const outputs: string[] = [];
  const statuses: (number | undefined)[] = [];
  for (const [number, script] of [
    'ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; sleep 20',
    'ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; sleep 1; ping -c 3 10.0.0.1',
  ].entries()) {
    const reader = new ControlReader();
    outputs.push('');
    const guest = host.addGuest({
      memory: 256 << 20,
      cpus: 1,
      seed: number,
      epoch: 1_767_225_600,
      serialOutput: () => {},
      ports: [
        { onOutput: () => {} },
        {
          name: controlPort,
          onOutput: (bytes) => {
            for (const answer of reader.push(bytes.slice())) {
              if (answer.kind === 'ready') guest.console.input(1, execRequest(script));
              else statuses[number] = answer.status;
            }
          },
        },
        {
          name: outputPort,
          onOutput: (bytes) => {
            outputs[number] += new TextDecoder().decode(bytes.slice());
          },
        },
      ],
      disks: [],
      balloonFeatures: [],
    });
    guest.boot({ kernel, initrd, commandLine: `console=ttyS0 panic=-1 nokaslr ${controlParameter}` });
    guest.console.setOpen(1, true);
    guest.console.setOpen(2, true);
  }
  while (statuses[1] === undefined && host.time < 10e9) host.run(host.time + 50e6);
  const state = host.stateHash();
  host.close();
  return { status: statuses[1], output: outputs[1]!, state, shared: host.engine.code.counters.shared };
}

test('two guests ping each other, on one thread as on two', async (t) => {
  const { status, output, state, shared } = await pingOn(1);
  t.is(status, 0, output);
  t.regex(output, /3 packets transmitted, 3 packets received, 0% packet loss/);
  t.true(shared > 1000, 'the second guest finds code decoded');
  t.like(await pingOn(2), { status, output, state });
});
