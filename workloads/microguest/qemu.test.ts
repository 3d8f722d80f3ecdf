/** The microguest on QEMU: what it does does not rest on peculiarities of our own machine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { stopRequest, workloadParameters, workloadPort, workloadSchema } from '../catalog.ts';
import { haveQemu } from '../guest/testing/qemu.ts';
import { type ReportLine, ReportReader } from '../report.ts';
import { readMicroguest } from './image.ts';
import { microguestElf } from './testing/elf.ts';

const testOnQemu = haveQemu ? test : test.skip;

testOnQemu('it fills, touches, checks and follows its balloon', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'pagefold-microguest-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const kernel = join(folder, 'kernel');
  await writeFile(kernel, microguestElf(await readMicroguest()));
  const server = createServer().listen(join(folder, 'port'));
  await once(server, 'listening');
  const workload = workloadSchema.parse({
    name: 'recipe',
    area: [
      { zero: 10 },
      { equal: 20 },
      { within: 20 },
      { unique: 50 },
      { changing: 5, rate: 50 },
      { freed: 10 },
    ],
    rate: 1000,
    write_share: 0.5,
    report: '200ms',
  });
  const devices = ['virtio-serial', 'virtio-balloon', 'virtio-rng'];
  const qemu = spawn('qemu-system-x86_64', [
    ...['-accel', 'tcg', '-cpu', 'max', '-m', '64', '-display', 'none', '-nodefaults', '-no-reboot'],
    ...['-monitor', 'stdio', '-kernel', kernel, '-append', workloadParameters(workload, 3)],
    ...devices.flatMap((device) => ['-device', `${device},disable-legacy=on`]),
    ...['-chardev', `socket,id=port,path=${join(folder, 'port')}`],
    ...['-device', `virtserialport,chardev=port,name=${workloadPort}`],
  ]);
  t.teardown(() => qemu.kill('SIGKILL'));
  const [socket] = await once(server, 'connection');
  server.close();
  t.teardown(() => socket.destroy());
  const reader = new ReportReader();
  const lines: ReportLine[] = [];
  const reportOf = async (event: string): Promise<ReportLine> => {
    for (;;) {
      const found = lines.splice(0).find((line) => line.event === event);
      if (found !== undefined) return found;
      const [bytes] = await once(socket, 'data');
      for (const each of reader.push(bytes)) if (each.kind === 'line') lines.push(each.line);
    }
  };
  t.is((await reportOf('filled')).pages, 115);
  t.is((await reportOf('progress')).errors, 0);
  socket.write(stopRequest());
  const { reads, writes } = await reportOf('finished');
  t.true((reads as number) + (writes as number) >= 200);
  socket.write('verify\n');
  const { versions, errors } = await reportOf('verified');
  t.true((versions as number) >= (writes as number));
  t.is(errors, 0);
  for (const mebibytes of [40, 60]) {
    qemu.stdin.write(`balloon ${mebibytes}\n`);
    const wanted = ((64 - mebibytes) << 20) / 4096;
    const { target, actual } = await reportOf('balloon');
    t.deepEqual([target, actual], [wanted, wanted]);
  }
});
