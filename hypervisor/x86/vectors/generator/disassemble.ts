/** Disassembles vectors' code with GNU objdump, for the texts in the files. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mode } from './draft.ts';

const machines: Record<Mode, string> = { long: 'x86-64', compat32: 'i386', compat16: 'i8086' };

/** The instructions of each piece of code as one line of Intel syntax, parted by semicolons. */
export function disassemble(mode: Mode, codes: readonly Uint8Array[]): string[] {
  // Each piece starts at a multiple of `step`; NOPs between bring the disassembler back into step.
  const longest = codes.reduce((most, code) => Math.max(most, code.length), 0);
  const step = (Math.floor(longest / 16) + 2) * 16;
  const image = new Uint8Array(step * codes.length).fill(0x90);
  for (const [i, code] of codes.entries()) image.set(code, i * step);
  const directory = mkdtempSync(join(tmpdir(), 'vectors-'));
  const file = join(directory, 'code');
  writeFileSync(file, image);
  const arguments_ = [
    '-D',
    '-b',
    'binary',
    '-m',
    'i386',
    '-M',
    `${machines[mode]},intel`,
    '-w',
    '--no-show-raw-insn',
    file,
  ];
  const output = execFileSync('objdump', arguments_, { maxBuffer: 2 ** 30, encoding: 'utf8' });
  rmSync(directory, { recursive: true });
  const lines: string[][] = codes.map(() => []);
  for (const [, address, text] of output.matchAll(/^ *([0-9a-f]+):\t(.*)$/gm)) {
    const at = Number.parseInt(address!, 16);
    const piece = Math.floor(at / step);
    const offset = at - piece * step;
    if (offset < codes[piece]!.length)
      lines[piece]!.push(text!.replace(/\s+/g, ' ').replace(/ #.*$/, '').trim());
  }
  return lines.map((texts) => texts.join('; '));
}
