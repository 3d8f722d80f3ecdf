/** Installs the emulators that come as Debian packages, where that can be done. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { run } from '../../workloads/images/command.ts';

/** QEMU, and the BIOS that v86 is given too. */
const packages = ['qemu-system-x86', 'seabios'];

/**
 * Installs by apt-get what is missing. What cannot be installed, without root or a network, is left out: its emulator is then
 * reported as absent.
 */
export async function installPackages(progress: (line: string) => void): Promise<void> {
  const missing: string[] = [];
  for (const name of packages) {
    const known = await run('dpkg-query', ['-W', '--showformat=$' + '{db:Status-Status}', name]).catch(
      () => undefined,
    );
    if (known?.stdout !== 'installed') missing.push(name);
  }
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) {
    progress(`not root: ${missing.join(', ')} cannot be installed`);
    return;
  }
  progress(`installing ${missing.join(', ')}`);
  await aptGet(['-q', 'update']);
  const status = await aptGet(['-q', 'install', '-y', '--no-install-recommends', ...missing]);
  if (status !== 0) progress(`apt-get could not install ${missing.join(', ')}`);
}

/** Runs apt-get with what it prints on standard error, and gives its exit status. */
async function aptGet(args: readonly string[]): Promise<number> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const child = spawn('apt-get', args, { env, stdio: ['ignore', 2, 2] });
  const [status] = await once(child, 'exit').catch(() => [127]);
  return status ?? 128;
}
