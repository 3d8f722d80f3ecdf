/** Two Debian guests on one host reach each other over its switch. */

import test from 'ava';
import { Host } from '../../hypervisor/host.ts';
import { usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { debianFiles, startDebian } from './testing/debian.ts';

/** Two guests, the second of which pings the first, on a host with so many threads. */
async function pingOn(workers: number) {
  const files = await debianFiles();
  const host = new Host({ memory: 512 << 20, translate: usualTranslation, workers });
  const [, asks] = [
    'ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up; sleep 20',
    'ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; sleep 1; ping -c 3 10.0.0.1',
  ].map((script, seed) => startDebian(host, files, { script, seed, memory: 256 << 20 }));
  while (asks!.status === undefined && host.time < 10e9) host.run(host.time + 50e6);
  const state = host.stateHash();
  host.close();
  return { status: asks!.status, output: asks!.output, state, shared: host.engine.code.counters.shared };
}

test('two guests ping each other, on one thread as on two', async (t) => {
  const { status, output, state, shared } = await pingOn(1);
  t.is(status, 0, output);
  t.regex(output, /3 packets transmitted, 3 packets received, 0% packet loss/);
  t.true(shared > 1000, 'the second guest finds code decoded');
  t.like(await pingOn(2), { status, output, state });
});
