/** Encodings of MMX and SSE to SSE4.2 (SDM vol. 2; opcode maps in vol. 2D, tables ). */
import { type Encoding, parseTable } from '../encoding.ts';

// Every row's memory operand gets lanes of its kind.
const rows = (lanes: string, lines: readonly string[]): Encoding[] =>
  parseTable(
    lines.map((line) => (line.includes('@new') ? line : line.replace(/ ?(@|$)/, ` @${lanes} $1`))).join('\n'),
  );
const words = (text: string) => text.trim().split(/\s+/);

// Mnemonic:opcode of instructions that exist for MM (no prefix) and XMM (66), all `0f xx /r`.
const packed = words(`
  punpcklbw:60 punpcklwd:61 punpckldq:62 packsswb:63 pcmpgtb:64 pcmpgtw:65 pcmpgtd:66 packuswb:67 punpckhbw:68
  punpckhwd:69 punpckhdq:6a packssdw:6b pcmpeqb:74 pcmpeqw:75 pcmpeqd:76 psrlw:d1 psrld:d2 psrlq:d3 paddq:d4 pmullw:d5
  psubusb:d8 psubusw:d9 pminub:da pand:db paddusb:dc paddusw:dd pmaxub:de pandn:df pavgb:e0 psraw:e1 psrad:e2 pavgw:e3
  pmulhuw:e4 pmulhw:e5 psubsb:e8 psubsw:e9 pminsw:ea por:eb paddsb:ec paddsw:ed pmaxsw:ee pxor:ef psllw:f1 pslld:f2
  psllq:f3 pmuludq:f4 pmaddwd:f5 psadbw:f6 psubb:f8 psubw:f9 psubd:fa psubq:fb paddb:fc paddw:fd paddd:fe`);
// The same for `0f 38 xx /r` (SSSE3).
const packed38 = words(`
  pshufb:00 phaddw:01 phaddd:02 phaddsw:03 pmaddubsw:04 phsubw:05 phsubd:06 phsubsw:07 psignb:08 psignw:09 psignd:0a
  pmulhrsw:0b pabsb:1c pabsw:1d pabsd:1e`);
// Variable shifts: small counts make them do something.
const shiftByRegister = new Set(words('psrlw psrld psrlq psraw psrad psllw pslld psllq'));
const split = (entry: string) => entry.split(':') as [string, string];
const hint = (name: string) => (shiftByRegister.has(name) ? '@packedCount' : '');
const shiftsByImmediate = words(
  'psrlw:71:2 psraw:71:4 psllw:71:6 psrld:72:2 psrad:72:4 pslld:72:6 psrlq:73:2 psllq:73:6',
);

export const mmxTable = rows('integers', [
  ...packed.map(split).map(([name, code]) => {
    const bytes = name.startsWith('punpckl') ? 'm4' : 'm8';
    return `${name} np 0f ${code} /r ${bytes} ${hint(name)}`;
  }),
  ...packed38.map(split).map(([name, code]) => `${name} np 0f 38 ${code} /r m8`),
  ...shiftsByImmediate.map((entry) => {
    const [name, code, digit] = entry.split(':');
    return `${name} np 0f ${code} /${digit} ib reg @packedImmediate`;
  }),
  'palignr np 0f 3a 0f /r ib m8 @packedImmediate',
  'movd np 0f 6e /r y',
  'movd np 0f 7e /r y',
  'movq np 0f 6f /r m8',
  'movq np 0f 7f /r m8',
  'pshufw np 0f 70 /r ib m8',
  'pinsrw np 0f c4 /r ib m2',
  'pextrw np 0f c5 /r ib reg y',
  'pmovmskb np 0f d7 /r reg y',
  'movntq np 0f e7 /r m8 mem',
  'maskmovq np 0f f7 /r reg m8 @maskedStore',
  'emms np 0f 77',
  'movq2dq pf3 0f d6 /r reg',
  'movdq2q pf2 0f d6 /r reg',
  'cvtpi2ps np 0f 2a /r m8',
  'cvttps2pi np 0f 2c /r m8',
  'cvtps2pi np 0f 2d /r m8',
  'cvtpi2pd p66 0f 2a /r m8',
  'cvttpd2pi p66 0f 2c /r m16a',
  'cvtpd2pi p66 0f 2d /r m16a',
]);

export const packedIntegerTable = rows('integers', [
  ...packed.map(split).map(([name, code]) => `${name} p66 0f ${code} /r m16a ${hint(name)}`),
  ...packed38.map(split).map(([name, code]) => `${name} p66 0f 38 ${code} /r m16a`),
  ...shiftsByImmediate.map((entry) => {
    const [name, code, digit] = entry.split(':');
    return `${name} p66 0f ${code} /${digit} ib reg @packedImmediate`;
  }),
  'psrldq p66 0f 73 /3 ib reg @packedImmediate',
  'pslldq p66 0f 73 /7 ib reg @packedImmediate',
  'palignr p66 0f 3a 0f /r ib m16a @packedImmediate',
  'punpcklqdq p66 0f 6c /r m16a',
  'punpckhqdq p66 0f 6d /r m16a',
  'movd p66 0f 6e /r y',
  'movd p66 0f 7e /r y',
  'movq pf3 0f 7e /r m8',
  'movq p66 0f d6 /r m8',
  'movdqa p66 0f 6f /r m16a',
  'movdqa p66 0f 7f /r m16a',
  'movdqu pf3 0f 6f /r m16',
  'movdqu pf3 0f 7f /r m16',
  'lddqu pf2 0f f0 /r m16 mem',
  'pshufd p66 0f 70 /r ib m16a',
  'pshufhw pf3 0f 70 /r ib m16a',
  'pshuflw pf2 0f 70 /r ib m16a',
  'pinsrw p66 0f c4 /r ib m2',
  'pextrw p66 0f c5 /r ib reg y',
  'pmovmskb p66 0f d7 /r reg y',
  'movntdq p66 0f e7 /r m16a mem',
  'movnti np 0f c3 /r mem y',
  'maskmovdqu p66 0f f7 /r reg m16 @maskedStore',
]);

const sse41 = words(`
  pcmpeqq:29 packusdw:2b pcmpgtq:37 pminsb:38 pminsd:39 pminuw:3a pminud:3b pmaxsb:3c pmaxsd:3d pmaxuw:3e pmaxud:3f
  pmulld:40 phminposuw:41 pmuldq:28 pblendvb:10 blendvps:14 blendvpd:15 ptest:17`);

export const sse4Table = rows('integers', [
  ...sse41.map(split).map(([name, code]) => `${name} p66 0f 38 ${code} /r m16a`),
  ...['bw:0:8', 'bd:1:4', 'bq:2:2', 'wd:3:8', 'wq:4:4', 'dq:5:8'].flatMap((entry) => {
    const [name, code, bytes] = entry.split(':');
    return [`pmovsx${name} p66 0f 38 2${code} /r m${bytes}`, `pmovzx${name} p66 0f 38 3${code} /r m${bytes}`];
  }),
  'movntdqa p66 0f 38 2a /r m16a mem',
  'pextrb p66 0f 3a 14 /r ib m1',
  'pextrw p66 0f 3a 15 /r ib m2',
  'pextrd p66 0f 3a 16 /r ib y',
  'extractps p66 0f 3a 17 /r ib m4',
  'pinsrb p66 0f 3a 20 /r ib m1',
  'insertps p66 0f 3a 21 /r ib m4',
  'pinsrd p66 0f 3a 22 /r ib y',
  'blendps p66 0f 3a 0c /r ib m16a',
  'blendpd p66 0f 3a 0d /r ib m16a',
  'pblendw p66 0f 3a 0e /r ib m16a',
  'mpsadbw p66 0f 3a 42 /r ib m16a',
]);

/** The string comparisons have a family of their own: 128 controls each. */
export const stringCompareTable = rows('integers', [
  'pcmpestrm p66 0f 3a 60 /r ib m16 @strings',
  'pcmpestri p66 0f 3a 61 /r ib m16 @strings',
  'pcmpistrm p66 0f 3a 62 /r ib m16 @strings',
  'pcmpistri p66 0f 3a 63 /r ib m16 @strings',
]);

const arithmetic = words('add:58 mul:59 sub:5c min:5d div:5e max:5f');

export const singleTable = rows('singles', [
  ...arithmetic
    .map(split)
    .flatMap(([name, code]) => [
      `${name}ps np 0f ${code} /r m16a @floatPair`,
      `${name}ss pf3 0f ${code} /r m4 @floatPair`,
    ]),
  'sqrtps np 0f 51 /r m16a',
  'sqrtss pf3 0f 51 /r m4',
  'rsqrtps np 0f 52 /r m16a',
  'rsqrtss pf3 0f 52 /r m4',
  'rcpps np 0f 53 /r m16a',
  'rcpss pf3 0f 53 /r m4',
  'cmpps np 0f c2 /r ib m16a @predicate @floatPair',
  'cmpss pf3 0f c2 /r ib m4 @predicate @floatPair',
  'ucomiss np 0f 2e /r m4 @floatPair',
  'comiss np 0f 2f /r m4 @floatPair',
  'cvtsi2ss pf3 0f 2a /r y',
  'cvttss2si pf3 0f 2c /r m4 y',
  'cvtss2si pf3 0f 2d /r m4 y',
  'cvtdq2ps np 0f 5b /r m16a',
  'cvtps2dq p66 0f 5b /r m16a',
  'cvttps2dq pf3 0f 5b /r m16a',
  'cvtps2pd np 0f 5a /r m8',
  'cvtss2sd pf3 0f 5a /r m4',
  'addsubps pf2 0f d0 /r m16a',
  'haddps pf2 0f 7c /r m16a',
  'hsubps pf2 0f 7d /r m16a',
  'roundps p66 0f 3a 08 /r ib m16a @roundingImmediate',
  'roundss p66 0f 3a 0a /r ib m4 @roundingImmediate',
  'dpps p66 0f 3a 40 /r ib m16a',
]);

export const doubleTable = rows('doubles', [
  ...arithmetic
    .map(split)
    .flatMap(([name, code]) => [
      `${name}pd p66 0f ${code} /r m16a @floatPair`,
      `${name}sd pf2 0f ${code} /r m8 @floatPair`,
    ]),
  'sqrtpd p66 0f 51 /r m16a',
  'sqrtsd pf2 0f 51 /r m8',
  'cmppd p66 0f c2 /r ib m16a @predicate @floatPair',
  'cmpsd pf2 0f c2 /r ib m8 @predicate @floatPair',
  'ucomisd p66 0f 2e /r m8 @floatPair',
  'comisd p66 0f 2f /r m8 @floatPair',
  'cvtsi2sd pf2 0f 2a /r y',
  'cvttsd2si pf2 0f 2c /r m8 y',
  'cvtsd2si pf2 0f 2d /r m8 y',
  'cvtpd2ps p66 0f 5a /r m16a',
  'cvtsd2ss pf2 0f 5a /r m8',
  'cvtpd2dq pf2 0f e6 /r m16a',
  'cvttpd2dq p66 0f e6 /r m16a',
  'cvtdq2pd pf3 0f e6 /r m8',
  'addsubpd p66 0f d0 /r m16a',
  'haddpd p66 0f 7c /r m16a',
  'hsubpd p66 0f 7d /r m16a',
  'roundpd p66 0f 3a 09 /r ib m16a @roundingImmediate',
  'roundsd p66 0f 3a 0b /r ib m8 @roundingImmediate',
  'dppd p66 0f 3a 41 /r ib m16a',
]);

export const simdMoveTable = rows('doubles', [
  'movups np 0f 10 /r m16',
  'movups np 0f 11 /r m16',
  'movss pf3 0f 10 /r m4',
  'movss pf3 0f 11 /r m4',
  'movupd p66 0f 10 /r m16',
  'movupd p66 0f 11 /r m16',
  'movsd pf2 0f 10 /r m8',
  'movsd pf2 0f 11 /r m8',
  'movlps np 0f 12 /r m8',
  'movlps np 0f 13 /r m8 mem',
  'movlpd p66 0f 12 /r m8 mem',
  'movlpd p66 0f 13 /r m8 mem',
  'movsldup pf3 0f 12 /r m16a',
  'movddup pf2 0f 12 /r m8',
  'movhps np 0f 16 /r m8',
  'movhps np 0f 17 /r m8 mem',
  'movhpd p66 0f 16 /r m8 mem',
  'movhpd p66 0f 17 /r m8 mem',
  'movshdup pf3 0f 16 /r m16a',
  'unpcklps np 0f 14 /r m16a',
  'unpckhps np 0f 15 /r m16a',
  'unpcklpd p66 0f 14 /r m16a',
  'unpckhpd p66 0f 15 /r m16a',
  'movaps np 0f 28 /r m16a',
  'movaps np 0f 29 /r m16a',
  'movapd p66 0f 28 /r m16a',
  'movapd p66 0f 29 /r m16a',
  'movntps np 0f 2b /r m16a mem',
  'movntpd p66 0f 2b /r m16a mem',
  'movmskps np 0f 50 /r reg y',
  'movmskpd p66 0f 50 /r reg y',
  'andps np 0f 54 /r m16a',
  'andpd p66 0f 54 /r m16a',
  'andnps np 0f 55 /r m16a',
  'andnpd p66 0f 55 /r m16a',
  'orps np 0f 56 /r m16a',
  'orpd p66 0f 56 /r m16a',
  'xorps np 0f 57 /r m16a',
  'xorpd p66 0f 57 /r m16a',
  'shufps np 0f c6 /r ib m16a',
  'shufpd p66 0f c6 /r ib m16a',
  'ldmxcsr np 0f ae /2 m4 mem @newMxcsr',
  'stmxcsr np 0f ae /3 m4 mem',
  'lfence np 0f ae e8',
  'mfence np 0f ae f0',
  'sfence np 0f ae f8',
  'clflush np 0f ae /7 m1 mem',
  'prefetch np 0f 18 /1 mem m1',
]);
