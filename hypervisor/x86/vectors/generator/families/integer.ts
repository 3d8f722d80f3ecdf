/** Encodings of the general-purpose instructions (SDM vol. 2; opcode maps in vol. 2D, appendix A). */
import { type Encoding, parseTable } from '../encoding.ts';

const arithmetic = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'];
const conditions = 'o no b ae e ne be a s ns p np l ge le g'.split(' ');
const byte = (value: number) => value.toString(16).padStart(2, '0');
const rows = (lines: readonly string[]): Encoding[] => parseTable(lines.join('\n'));

export const arithmeticTable = rows([
  ...arithmetic.flatMap((name, i) => {
    const lock = name === 'cmp' ? '' : 'lock';
    return [
      `${name} ${byte(8 * i)} /r b ${lock}`,
      `${name} ${byte(8 * i + 1)} /r v ${lock}`,
      `${name} ${byte(8 * i + 2)} /r b`,
      `${name} ${byte(8 * i + 3)} /r v`,
      `${name} ${byte(8 * i + 4)} ib b`,
      `${name} ${byte(8 * i + 5)} iz v`,
      `${name} 80 /${i} ib b ${lock}`,
      `${name} 81 /${i} iz v ${lock}`,
      `${name} 83 /${i} ib v ${lock}`,
      `${name} 82 /${i} ib b legacy ${lock}`,
    ];
  }),
  'test 84 /r b',
  'test 85 /r v',
  'test a8 ib b',
  'test a9 iz v',
  'test f6 /0 ib b',
  'test f7 /0 iz v',
  'not f6 /2 b lock',
  'not f7 /2 v lock',
  'neg f6 /3 b lock',
  'neg f7 /3 v lock',
  'inc fe /0 b lock',
  'inc ff /0 v lock',
  'dec fe /1 b lock',
  'dec ff /1 v lock',
  'inc 40+r v legacy',
  'dec 48+r v legacy',
  'cmpxchg 0f b0 /r b lock @compareEqual',
  'cmpxchg 0f b1 /r v lock @compareEqual',
  'cmpxchg8b 0f c7 /1 y w0 m8 mem lock @comparePair',
  'cmpxchg16b 0f c7 /1 y w1 m16a mem lock long @comparePair',
  'xadd 0f c0 /r b lock',
  'xadd 0f c1 /r v lock',
]);

export const multiplyTable = rows([
  'mul f6 /4 b @products',
  'mul f7 /4 v @products',
  'imul f6 /5 b @products',
  'imul f7 /5 v @products',
  'imul 0f af /r v @products',
  'imul 69 /r iz v @products',
  'imul 6b /r ib v @products',
  'div f6 /6 b @divideUnsigned',
  'div f7 /6 v @divideUnsigned',
  'idiv f6 /7 b @divideSigned',
  'idiv f7 /7 v @divideSigned',
]);

export const shiftTable = rows([
  ...['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sal', 'sar'].flatMap((name, i) => [
    `${name} c0 /${i} ib b @shiftImmediate`,
    `${name} c1 /${i} ib v @shiftImmediate`,
    `${name} d0 /${i} b`,
    `${name} d1 /${i} v`,
    `${name} d2 /${i} b @shiftCount`,
    `${name} d3 /${i} v @shiftCount`,
  ]),
  'shld 0f a4 /r ib v @doubleShiftCount',
  'shld 0f a5 /r v @doubleShiftCount',
  'shrd 0f ac /r ib v @doubleShiftCount',
  'shrd 0f ad /r v @doubleShiftCount',
]);

export const bitTable = rows([
  'bt 0f a3 /r v @bitOffset',
  'bts 0f ab /r v lock @bitOffset',
  'btr 0f b3 /r v lock @bitOffset',
  'btc 0f bb /r v lock @bitOffset',
  'bt 0f ba /4 ib v',
  'bts 0f ba /5 ib v lock',
  'btr 0f ba /6 ib v lock',
  'btc 0f ba /7 ib v lock',
  'bsf 0f bc /r v @sparseBits',
  'bsr 0f bd /r v @sparseBits',
  'popcnt pf3 0f b8 /r v',
  'crc32 pf2 0f 38 f0 /r y m1',
  'crc32 pf2 0f 38 f1 /r v',
  ...conditions.map((name, i) => `set${name} 0f ${byte(0x90 + i)} /0 b`),
]);

export const moveTable = rows([
  'mov 88 /r b',
  'mov 89 /r v',
  'mov 8a /r b',
  'mov 8b /r v',
  'mov c6 /0 ib b',
  'mov c7 /0 iz v',
  'mov b0+r ib b',
  'mov b8+r iv v',
  'mov a0 moffs b @absolute',
  'mov a1 moffs v @absolute',
  'mov a2 moffs b @absolute',
  'mov a3 moffs v @absolute',
  'movzx 0f b6 /r v m1',
  'movzx 0f b7 /r v m2',
  'movsx 0f be /r v m1',
  'movsx 0f bf /r v m2',
  'movsxd 63 /r v m4 long',
  'lea 8d /r v mem',
  'xchg 86 /r b lock',
  'xchg 87 /r v lock',
  'xchg 90+r v',
  'bswap 0f c8+r y np',
  'xlat d7 @translate m1',
  'cbw 98 v',
  'cwd 99 v',
  'lahf 9f',
  'sahf 9e',
  'clc f8',
  'stc f9',
  'cmc f5',
  'cld fc',
  'std fd',
  'nop 0f 1f /0 v',
  'nop 0f 18 /r v',
  'prefetchw 0f 0d /1 mem m1',
  'pause pf3 90',
  ...conditions.map((name, i) => `cmov${name} 0f ${byte(0x40 + i)} /r v`),
]);

export const stringTable = rows([
  'movsb a4 b rep @both',
  'movs a5 v rep @both',
  'cmpsb a6 b rep @both @equalRun',
  'cmps a7 v rep @both @equalRun',
  'stosb aa b rep @destination',
  'stos ab v rep @destination',
  'lodsb ac b rep @source',
  'lods ad v rep @source',
  'scasb ae b rep @destination @equalRun',
  'scas af v rep @destination @equalRun',
]);

export const stackTable = rows([
  'push 50+r q @stack',
  'pop 58+r q @stack',
  'push ff /6 q @stack',
  'pop 8f /0 q @stack',
  'push 68 iz q @stack',
  'push 6a ib q @stack',
  'pushf 9c q @stack',
  'popf 9d q @poppedFlags',
  'enter c8 iw ib q @frame @enter',
  'leave c9 q @frame',
  'pusha 60 v legacy @stack',
  'popa 61 v legacy @stack',
  'push 06 q legacy @stack',
  'push 0e q legacy @stack',
  'push 16 q legacy @stack',
  'push 1e q legacy @stack',
  'push 0f a0 q @stack',
  'push 0f a8 q @stack',
]);

export const branchTable = rows([
  ...conditions.map((name, i) => `j${name} ${byte(0x70 + i)} rel8`),
  ...conditions.map((name, i) => `j${name} 0f ${byte(0x80 + i)} relz v`),
  'jmp eb rel8',
  'jmp e9 relz v',
  'call e8 relz v @stack',
  'jmp ff /4 q near @indirectBranch',
  'call ff /2 q near @indirectBranch',
  'ret c3 q near @returnAddress',
  'ret c2 iw q near @returnAddress',
  'loopne e0 rel8 @loopCount',
  'loope e1 rel8 @loopCount',
  'loop e2 rel8 @loopCount',
  'jcxz e3 rel8 @loopCount',
]);

export const bcdTable = rows([
  'aaa 37 legacy @digits',
  'aas 3f legacy @digits',
  'daa 27 legacy @digits',
  'das 2f legacy @digits',
  'aam d4 ib legacy @digits',
  'aad d5 ib legacy @digits',
  'bound 62 /r v mem legacy @bounds',
  'into ce legacy',
]);
