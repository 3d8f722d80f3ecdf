/** DAA, DAS, AAA, AAS, AAM, AAD (SDM vol. 2). Flags that the manual leaves undefined are as on processors. */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import { AF, CF, packBits } from '../flags.ts';
import type { Semantics } from '../semantics.ts';
import { meaning, type Row, row } from './instruction.ts';

/** CF and AF before the instruction, each 0 or 1 (i32). */
function before(c: Semantics): { carry: Value; adjust: Value } {
  const flags = c.allFlags();
  return { carry: flags.and(CF).ne(0), adjust: flags.and(AF).ne(0) };
}

/** DAA and DAS: `sign` is 1 to add the correction, −1 to subtract it. */
function adjustPacked(sign: 1 | -1) {
  return meaning('', (c) => {
    const { fn } = c;
    const al = c.gpr(0, 1);
    const { carry, adjust } = before(c);
    const low = al.and(15).gtU(9).or(adjust);
    const high = al.gtU(0x99).or(carry);
    const correction = low.mul(6).add(high.mul(0x60));
    const result = sign === 1 ? al.add(correction) : al.sub(correction);
    // DAS also carries when the first step borrows.
    const carries = sign === 1 ? high : high.or(low.and(al.ltU(6)));
    c.setGpr(0, result, 1);
    c.setResultFlags(result, packBits(fn, carries, 0, low), 1);
  });
}

/** AAA and AAS. */
function adjustUnpacked(sign: 1 | -1) {
  return meaning('', (c) => {
    const { fn } = c;
    const ax = c.gpr(0, 2);
    const { adjust } = before(c);
    const adjusts = ax.and(15).gtU(9).or(adjust);
    const correction = adjusts.mul(0x106);
    const result = (sign === 1 ? ax.add(correction) : ax.sub(correction)).and(0xff0f);
    c.setGpr(0, result, 2);
    c.setResultFlags(result.and(15), packBits(fn, adjusts, 0, adjusts), 1);
  });
}

const divide = meaning('r', (c, base) => {
  c.raiseIf(base!.eqz(), exceptions.DE);
  const al = c.gpr(0, 1);
  // The divisor is not zero here; `or` keeps the straight line, which is computed in any case, from trapping.
  const divisor = base!.or(base!.eqz());
  const [quotient, remainder] = [al.divU(divisor), al.remU(divisor)];
  c.setGpr(0, quotient.shl(8).or(remainder), 2);
  c.setResultFlags(remainder, packBits(c.fn, 0), 1);
});

const multiply = meaning('r', (c, base) => {
  const ax = c.gpr(0, 2);
  const result = ax.shrU(8).mul(base!).add(ax).and(0xff);
  c.setGpr(0, result, 2);
  c.setResultFlags(result, packBits(c.fn, 0), 1);
});

const legacy = { mode: 'not64' } as const;

/** Opcode rows of this file. */
export const decimals: readonly Row[] = [
  ...row('27', 'DAA', adjustPacked(1), legacy),
  ...row('2F', 'DAS', adjustPacked(-1), legacy),
  ...row('37', 'AAA', adjustUnpacked(1), legacy),
  ...row('3F', 'AAS', adjustUnpacked(-1), legacy),
  ...row('D4', 'AAM Ib', divide, legacy),
  ...row('D5', 'AAD Ib', multiply, legacy),
];
