/** Encodings of the x87 instructions (SDM vol. 2D, tables ). */
import { parseTable } from '../encoding.ts';

const arithmetic = 'fadd fmul fcom fcomp fsub fsubr fdiv fdivr'.split(' ');
const integerArithmetic = arithmetic.map((name) => name.replace('f', 'fi'));
const byte = (value: number) => value.toString(16).padStart(2, '0');

export const x87ArithmeticTable = parseTable(
  [
    ...arithmetic.flatMap((name, i) => [
      `${name} d8 /${i} mem m4 @float`,
      `${name} d8 ${byte(0xc0 + 8 * i)}+r`,
      `${name} dc /${i} mem m8 @float`,
    ]),
    ...integerArithmetic.flatMap((name, i) => [
      `${name} da /${i} mem m4 @integer`,
      `${name} de /${i} mem m2 @integer`,
    ]),
    'fadd dc c0+r',
    'fmul dc c8+r',
    'fsubr dc e0+r',
    'fsub dc e8+r',
    'fdivr dc f0+r',
    'fdiv dc f8+r',
    'faddp de c0+r',
    'fmulp de c8+r',
    'fsubrp de e0+r',
    'fsubp de e8+r',
    'fdivrp de f0+r',
    'fdivp de f8+r',
    'fcompp de d9',
    'fucompp da e9',
    'fucom dd e0+r',
    'fucomp dd e8+r',
    'fucomi db e8+r',
    'fcomi db f0+r',
    'fucomip df e8+r',
    'fcomip df f0+r',
    'ftst d9 e4',
    'fxam d9 e5',
    'fchs d9 e0',
    'fabs d9 e1',
    'fsqrt d9 fa',
    'frndint d9 fc',
    'fscale d9 fd',
    'fxtract d9 f4',
    'fprem d9 f8 @sameScale',
    'fprem1 d9 f5 @sameScale',
    'fprem d9 f8',
    'fprem1 d9 f5',
    'fscale d9 fd @smallScale',
  ].join('\n'),
);

export const x87MoveTable = parseTable(
  [
    'fld d9 /0 mem m4 @float',
    'fld dd /0 mem m8 @float',
    'fld db /5 mem m10 @float',
    'fld d9 c0+r',
    'fxch d9 c8+r',
    'fst d9 /2 mem m4',
    'fstp d9 /3 mem m4',
    'fst dd /2 mem m8',
    'fstp dd /3 mem m8',
    'fstp db /7 mem m10',
    'fst dd d0+r',
    'fstp dd d8+r',
    'fild df /0 mem m2 @integer',
    'fild db /0 mem m4 @integer',
    'fild df /5 mem m8 @integer',
    'fist df /2 mem m2',
    'fist db /2 mem m4',
    'fistp df /3 mem m2',
    'fistp db /3 mem m4',
    'fistp df /7 mem m8',
    'fisttp df /1 mem m2',
    'fisttp db /1 mem m4',
    'fisttp dd /1 mem m8',
    'fbld df /4 mem m10 @packedDecimal',
    'fbstp df /6 mem m10',
    'fbstp df /6 mem m10 @smallTop',
    ...['b:da:c0', 'e:da:c8', 'be:da:d0', 'u:da:d8', 'nb:db:c0', 'ne:db:c8', 'nbe:db:d0', 'nu:db:d8'].map(
      (entry) => {
        const [condition, first, second] = entry.split(':');
        return `fcmov${condition} ${first} ${second}+r`;
      },
    ),
    'fld1 d9 e8',
    'fldl2t d9 e9',
    'fldl2e d9 ea',
    'fldpi d9 eb',
    'fldlg2 d9 ec',
    'fldln2 d9 ed',
    'fldz d9 ee',
    'fincstp d9 f7',
    'fdecstp d9 f6',
    'ffree dd c0+r',
    'fnop d9 d0',
    'fwait 9b',
  ].join('\n'),
);

export const x87ControlTable = parseTable(
  [
    'fldcw d9 /5 mem m2 @controlWord',
    'fnstcw d9 /7 mem m2',
    'fnstsw dd /7 mem m2',
    'fnstsw df e0',
    'fnclex db e2',
    'fninit db e3',
    'fldenv d9 /4 mem m28 v @environment',
    'fnstenv d9 /6 mem m28 v @environmentStore',
    'frstor dd /4 mem m108 v @environment',
    'fnsave dd /6 mem m108 v @environmentStore',
  ].join('\n'),
);

export const stateTable = parseTable(
  [
    'fxsave np 0f ae /0 mem m512a y @fxStore',
    'fxrstor np 0f ae /1 mem m512a y @fxImage',
    'xsave np 0f ae /4 mem m576a y @xsaveMask @fxStore @xsaveStore',
    'xrstor np 0f ae /5 mem m576a y @xsaveMask @fxImage @xsaveImage',
  ].join('\n'),
);

export const transcendentalTable = parseTable(
  [
    'f2xm1 d9 f0 @unitTop',
    'fyl2x d9 f1',
    'fyl2x d9 f1 @positiveTop',
    'fyl2xp1 d9 f9 @logTop',
    'fptan d9 f2',
    'fptan d9 f2 @angle',
    'fpatan d9 f3',
    'fpatan d9 f3 @angle',
    'fsin d9 fe @angle',
    'fsin d9 fe',
    'fcos d9 ff @angle',
    'fcos d9 ff',
    'fsincos d9 fb @angle',
    'fsincos d9 fb',
  ].join('\n'),
);
