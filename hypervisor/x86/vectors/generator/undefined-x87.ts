/** Condition codes that the manual leaves undefined after x87 instructions (SDM vol. 2, "FPU Flags Affected" of each page). */
import type { Draft } from './draft.ts';
import type { Instruction } from './instruction.ts';

const c0 = 0x100;
const c1 = 0x200;
const c2 = 0x400;
const c3 = 0x4000;
const all = c0 | c1 | c2 | c3;

const words = (text: string) => text.trim().split(/\s+/);

const byMnemonic = new Map<string, number>();
const undefinedAfter = (mask: number, mnemonics: string) => {
  for (const mnemonic of words(mnemonics)) byMnemonic.set(mnemonic, mask);
};

// C1 tells of rounding or stack faults; the others are undefined.
undefinedAfter(
  c0 | c2 | c3,
  `fadd faddp fiadd fmul fmulp fimul fsub fsubp fisub fsubr fsubrp fisubr fdiv fdivp fidiv fdivr fdivrp fidivr
   fchs fabs fsqrt frndint fscale fxtract fld fst fstp fild fist fistp fisttp fbld fbstp fxch
   fld1 fldl2t fldl2e fldpi fldlg2 fldln2 fldz fincstp fdecstp
   fcmovb fcmove fcmovbe fcmovu fcmovnb fcmovne fcmovnbe fcmovnu`,
);
undefinedAfter(all, 'ffree fnop fwait fldcw fnstcw fnstsw fnstenv');
undefinedAfter(all, 'fnclex');
// Results may differ in the last place, so the direction of rounding (C1) may, too. C2 tells whether the argument was in range.
undefinedAfter(c0 | c1 | c3, 'fsin fcos fsincos fptan');
undefinedAfter(all, 'fpatan f2xm1 fyl2x fyl2xp1');

/** All condition codes that are undefined after a mnemonic. */
export function undefinedConditions(mnemonic: string): number {
  return byMnemonic.get(mnemonic) ?? 0;
}

// Which of ST(0) and ST(1) hold results that may differ in the last place.
const lastPlace: Record<string, readonly number[]> = {
  f2xm1: [0],
  fyl2x: [0],
  fyl2xp1: [0],
  fpatan: [0],
  fsin: [0],
  fcos: [0],
  fsincos: [0, 1],
  fptan: [1],
};

/** Adds what an x87 instruction leaves undefined. */
export function addUndefinedX87(draft: Draft, { encoding }: Instruction): void {
  const { mnemonic } = encoding;
  const statusWord = undefinedConditions(mnemonic);
  if (statusWord !== 0) {
    const letters = [c0, c1, c2, c3].flatMap((bit, i) => ((statusWord & bit) !== 0 ? [`C${i}`] : []));
    draft.addRule({
      manual: `SDM vol. 2, ${mnemonic.toUpperCase()}: ${letters.join(', ')} undefined`,
      statusWord,
    });
  }
  const places = lastPlace[mnemonic];
  if (places !== undefined) {
    draft.addRule({
      manual: 'SDM vol. 1, section 8.3.10: transcendental results are within 1 ulp, so C1 may differ',
      lastPlace: places,
    });
  }
}
