/** QEMU's TCG, one process a guest. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { run } from '../../workloads/images/command.ts';
import type { Image } from '../../workloads/images/store.ts';
import { GuestConsole } from './console.ts';
import { mappedGuestBytes } from './memory.ts';
import { type AbsentPeer, commandLine, guestBytes, type Machine, type Peer } from './peer.ts';
import { Qmp } from './qmp.ts';

const program = 'qemu-system-x86_64';

/** The devices that a guest of pagefold has. */
const devices = [
  'virtio-serial-pci',
  'virtio-balloon-pci',
  'virtio-rng-pci',
  'virtio-net-pci,netdev=network',
];

/** What a QEMU guest boots. */
export interface QemuBoot {
  readonly image: Image;
  readonly commandLine: string;
  /** A folder for its sockets. */
  readonly folder: string;
}

/** Makes it ready, or says why it cannot be. */
export async function qemu(image: Image, folder: string): Promise<Peer | AbsentPeer> {
  const name = 'QEMU';
  const version = await qemuVersion().catch((error: Error) => error);
  if (version instanceof Error) return { name, absent: version.message };
  return {
    name,
    description: `${version}, -accel tcg, machine pc, one process a guest`,
    several: true,
    start: ({ guests, kaslr }) => startQemu({ image, commandLine: commandLine(kaslr), folder }, guests),
  };
}

/** The installed QEMU's name and version; throws when there is none. */
export async function qemuVersion(): Promise<string> {
  const { stdout } = await run(program, ['--version']);
  return /^(QEMU) emulator( version [^ ]+)/.exec(stdout)?.slice(1).join('') ?? 'QEMU of unknown version';
}

/** A guest in its process, which waits to be switched on. */
interface Prepared {
  readonly child: ChildProcess;
  readonly console: GuestConsole;
  readonly qmp: Qmp;
  stop(): Promise<void>;
}

let sockets = 0;

/** Starts so many guests together, each in a process. */
export async function startQemu(boot: QemuBoot, guests: number): Promise<Machine> {
  // Listening is ours to do, before the clock starts.
  const serials = await Promise.all(
    Array.from({ length: guests }, () => listen(join(boot.folder, `serial-${sockets++}`))),
  );
  const processStarted = performance.now();
  const prepared = serials.map((serial) => prepare(boot, serial));
  const switchedOn = await Promise.all(
    prepared.map(async ({ qmp }) => {
      await qmp.open();
      const at = performance.now();
      await qmp.execute('cont');
      return at;
    }),
  ).catch(async (error) => {
    await Promise.all(prepared.map((each) => each.stop()));
    throw error;
  });
  const pids = prepared.map(({ child }) => child.pid!);
  const all = async (command: string) => {
    await Promise.all(prepared.map(({ qmp }) => qmp.execute(command)));
  };
  return {
    processStarted,
    switchedOn,
    consoles: prepared.map(({ console }) => console),
    pids,
    pause: () => all('stop'),
    resume: () => all('cont'),
    guestPages: async () => {
      const sizes = await Promise.all(pids.map((pid) => mappedGuestBytes(pid, guestBytes)));
      return sizes.reduce((sum, size) => sum + size, 0);
    },
    stop: async () => {
      await Promise.all(prepared.map((each) => each.stop()));
    },
  };
}

function prepare({ image, commandLine: append }: QemuBoot, { path, server }: Listening): Prepared {
  const child = spawn(
    program,
    [
      ...['-accel', 'tcg', '-machine', 'pc,mem-merge=on', '-m', `${guestBytes >> 20}`, '-S'],
      ...['-nodefaults', '-nographic', '-no-reboot', '-qmp', 'stdio'],
      ...['-chardev', `socket,id=serial,path=${path}`, '-serial', 'chardev:serial'],
      ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', append],
      // A network on which there is nobody else.
      ...['-netdev', 'hubport,id=network,hubid=0'],
      ...devices.flatMap((device) => ['-device', device]),
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const exited = once(child, 'exit');
  const endWithUs = () => child.kill('SIGKILL');
  process.once('exit', endWithUs);
  let socket: Socket | undefined;
  const console = new GuestConsole((text) => socket?.write(text, 'latin1'));
  server.once('connection', (connected) => {
    server.close();
    socket = connected;
    socket.on('error', () => {});
    socket.on('data', (chunk) => console.push(chunk.toString('latin1')));
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  child.on('exit', (status, signal) => {
    process.off('exit', endWithUs);
    server.close();
    console.ended(`QEMU ended (${signal ?? `status ${status}`}) ${complaint}`.trim());
  });
  return {
    child,
    console,
    qmp: new Qmp(child.stdout, child.stdin),
    stop: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

interface Listening {
  readonly path: string;
  readonly server: Server;
}

async function listen(path: string): Promise<Listening> {
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  return { path, server };
}
