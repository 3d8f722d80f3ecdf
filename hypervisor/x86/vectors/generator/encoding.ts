/**
 * The rows of the generator's encoding tables. A row is one line of text, near to the manual's opcode column:
 *
 *     mnemonic  opcode bytes  /r or /digit  immediates  attributes
 *
 * | token | meaning |
 * |---|---|
 * | `0f`, `a4` | an opcode byte; the last may be followed by `+r`, which adds a register's number to it |
 * | `p66` `pf2` `pf3` | mandatory prefix |
 * | `np` | no 66, F2 or F3 prefix may stand before it |
 * | `/r` `/0` … `/7` | a ModRM byte: with a register in reg, or with that digit |
 * | `ib` `iw` `iz` `iv` | immediate of 8 bits, 16 bits, 16 or 32 bits, or of operand size |
 * | `rel8` `relz` | branch displacement |
 * | `moffs` | absolute address of address size |
 * | `ptr` | far pointer, offset of operand size |
 * | `b` `v` `y` `q` | operand size: a byte; 16, 32 or 64 bits; 32 or 64 bits by REX.W alone; 64 (or 16) bits in 64-bit mode as for PUSH |
 * | `m4` `m16` `m16a` | bytes of the memory operand where they differ from the operand size; `a`: must be aligned |
 * | `far` | the memory operand is a far pointer: operand size and 16 bits |
 * | `mem` `reg` | only the memory or only the register form |
 * | `lock` | LOCK is allowed on the memory form |
 * | `w0` `w1` | REX.W is clear, is set |
 * | `near` | a near branch: no 66 prefix in 64-bit mode |
 * | `rep` | F3 and F2 are repeat prefixes |
 * | `long` `legacy` | only in 64-bit mode, only outside |
 * | `@name` | prepares the state, see prepare.ts |
 */

/** One row. */
export interface Encoding {
  /** The row's text up to its attributes: names it in vector files. */
  id: string;
  mnemonic: string;
  mandatoryPrefix: number | undefined;
  noPrefix: boolean;
  opcode: readonly number[];
  plusRegister: boolean;
  modrm: 'r' | number | undefined;
  immediates: readonly string[];
  size: 'b' | 'v' | 'y' | 'q' | 'none';
  memoryBytes: number | undefined;
  aligned: boolean;
  rexW: boolean | undefined;
  near: boolean;
  far: boolean;
  form: 'mem' | 'reg' | 'both';
  lock: boolean;
  repeat: boolean;
  only: 'long' | 'legacy' | undefined;
  preparations: readonly string[];
}

const immediateTokens = new Set(['ib', 'iw', 'iz', 'iv', 'rel8', 'relz', 'moffs', 'ptr']);

/** Reads one row; throws on a token that is none of the above. */
export function parseEncoding(row: string): Encoding {
  const [mnemonic, ...tokens] = row.trim().split(/\s+/);
  const opcode: number[] = [];
  const immediates: string[] = [];
  const preparations: string[] = [];
  const idTokens = [mnemonic!];
  let encoding: Encoding = {
    id: '',
    mnemonic: mnemonic!,
    mandatoryPrefix: undefined,
    noPrefix: false,
    opcode,
    plusRegister: false,
    modrm: undefined,
    immediates,
    size: 'none',
    memoryBytes: undefined,
    aligned: false,
    rexW: undefined,
    near: false,
    far: false,
    form: 'both',
    lock: false,
    repeat: false,
    only: undefined,
    preparations,
  };
  for (const token of tokens) {
    const memory = /^m(\d+)(a?)$/.exec(token);
    const modrm = /^\/([r0-7])$/.exec(token);
    if (/^[0-9a-f]{2}(\+r)?$/.test(token)) {
      opcode.push(Number.parseInt(token, 16));
      if (token.endsWith('+r')) encoding = { ...encoding, plusRegister: true };
    } else if (/^p(66|f2|f3)$/.test(token)) {
      encoding = { ...encoding, mandatoryPrefix: Number.parseInt(token.slice(1), 16) };
    } else if (modrm !== null) {
      encoding = { ...encoding, modrm: modrm[1] === 'r' ? 'r' : Number(modrm[1]) };
    } else if (immediateTokens.has(token)) immediates.push(token);
    else {
      if (memory !== null) {
        encoding = { ...encoding, memoryBytes: Number(memory[1]), aligned: memory[2] === 'a' };
      } else if (token === 'np') encoding = { ...encoding, noPrefix: true };
      else if (token === 'b' || token === 'v' || token === 'y' || token === 'q')
        encoding = { ...encoding, size: token };
      else if (token === 'mem' || token === 'reg') encoding = { ...encoding, form: token };
      else if (token === 'w0' || token === 'w1') encoding = { ...encoding, rexW: token === 'w1' };
      else if (token === 'near') encoding = { ...encoding, near: true };
      else if (token === 'far') encoding = { ...encoding, far: true };
      else if (token === 'lock') encoding = { ...encoding, lock: true };
      else if (token === 'rep') encoding = { ...encoding, repeat: true };
      else if (token === 'long' || token === 'legacy') encoding = { ...encoding, only: token };
      else if (token.startsWith('@')) preparations.push(token.slice(1));
      else throw new Error(`encoding row '${row.trim()}': unknown token '${token}'`);
      continue;
    }
    idTokens.push(token.replace(/^p(..)$/, '$1'));
  }
  return { ...encoding, id: idTokens.join(' ') };
}

/** Reads a table: one row a line; empty lines are skipped. */
export function parseTable(text: string): Encoding[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(parseEncoding);
}
