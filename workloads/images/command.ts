import { spawn } from 'node:child_process';
import { buffer } from 'node:stream/consumers';

/** How a program ended and what it printed. */
export interface Ended<Output> {
  /** Exit status; 128 when a signal ended it. */
  status: number;
  stdout: Output;
  stderr: string;
}

/** The program to run is not on this machine. */
export class MissingProgram extends Error {
  override name = 'MissingProgram';
}

/**
 * Runs a program to its end, in the C locale, and takes its output as bytes.
 * Throws {@link MissingProgram} when there is no such program.
 */
export async function runBytes(
  program: string,
  args: readonly string[],
  directory?: string,
): Promise<Ended<Uint8Array>> {
  const child = spawn(program, args, {
    cwd: directory,
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? new MissingProgram(`no program '${program}'`) : error);
    });
    child.on('close', (status) => resolve(status ?? 128));
  });
  const [status, stdout, stderr] = await Promise.all([ended, buffer(child.stdout), buffer(child.stderr)]);
  return { status, stdout, stderr: stderr.toString() };
}

/** As {@link runBytes}, with the output as text. */
export async function run(
  program: string,
  args: readonly string[],
  directory?: string,
): Promise<Ended<string>> {
  const ended = await runBytes(program, args, directory);
  return { ...ended, stdout: Buffer.from(ended.stdout).toString() };
}
