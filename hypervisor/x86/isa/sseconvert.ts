/** Conversions between integers and floating-point numbers, and rounding to integers, of SSE, SSE2 and SSE4.1 (SDM vol. 2). */
import type { Value } from '../../wasm/value.ts';
import { type Conversion, conversions } from '../core/softconvert.ts';
import * as layout from '../layout.ts';
import * as mxcsr from '../mxcsr.ts';
import type { Semantics } from '../semantics.ts';
import {
  all,
  bitsOf,
  choosePath,
  either,
  fromBits,
  isAtLeast,
  isBounded,
  isLess,
  isNative,
  isNumber,
  isQuiet,
  isZero,
  pd,
  ps,
  type Shape,
  sd,
  ss,
} from './floatlanes.ts';
import { type Meaning, meaning, type Row, row } from './instruction.ts';
import { lowHalf, widened } from './packedinteger.ts';

/** Rounding as the immediate of ROUNDPS has it: a mode, or 4 for that of MXCSR, plus 8 to raise no precision exception. */
const byMxcsr = 4;
const noPrecision = 8;

/** Converts `count` lanes by the core's exact routine: the results as a v128. Raises #XM. */
function exactly(
  c: Semantics,
  conversion: Conversion,
  count: number,
  source: Value,
  rounding: number | Value = byMxcsr,
): Value {
  const [result, done] = c.fn.callAll(
    c.core.convertLanes,
    c.cpu,
    conversions[conversion],
    count,
    rounding,
    source,
  ) as [Value, Value];
  c.faultUnless(done);
  return result;
}

/** A scalar converted exactly, from an integer or a floating-point number to one of a type. */
function exactScalar(
  c: Semantics,
  conversion: Conversion,
  source: Value,
  type: 'i32' | 'i64' | 'f32' | 'f64',
  rounding: number | Value = byMxcsr,
): Value {
  const integer =
    source.type === 'f32' ? bitsOf(ss, source) : source.type === 'f64' ? bitsOf(sd, source) : source;
  const bits = integer.type === 'i32' ? integer.extendU() : integer;
  const [result, done] = c.fn.callAll(
    c.core.convertScalar,
    c.cpu,
    conversions[conversion],
    rounding,
    bits,
  ) as [Value, Value];
  c.faultUnless(done);
  switch (type) {
    case 'i32':
      return result.wrap();
    case 'i64':
      return result;
    case 'f32':
      return fromBits(ss, result.wrap());
    case 'f64':
      return fromBits(sd, result);
  }
}

/** Integers up to this magnitude have as many bits as the significand: their conversion is exact. */
const exactInSingle = 2 ** 24;
const exactInDouble = 2 ** 53;

/** CVTSI2SS, CVTSI2SD. */
function fromInteger(shape: Shape): Meaning {
  return meaning('w r', (c, source) => {
    const { lane } = shape;
    const { type } = source!;
    const native = source!.apply(`${lane}.convert_${type}_s`);
    if (type === 'i32' && lane === 'f64') return native;
    const limit = lane === 'f32' ? exactInSingle : exactInDouble;
    const small = source!.add(limit).leU(2 * limit);
    const conversion = type === 'i32' ? 'int32ToSingle' : lane === 'f32' ? 'int64ToSingle' : 'int64ToDouble';
    return choosePath(c, isNative(c).or(small), native, () => exactScalar(c, conversion, source!, lane));
  });
}

/** CVTSS2SI, CVTSD2SI and, when `truncates`, CVTTSS2SI, CVTTSD2SI. */
function toInteger(shape: Shape, truncates: boolean): Meaning {
  return meaning('w r', (c, x) => {
    const { lane } = shape;
    const type = c.form.w ? 'i64' : 'i32';
    const rounded = truncates ? x! : x!.apply(`${lane}.nearest`);
    const integer = rounded.apply(`${type}.trunc_sat_${lane}_s`);
    // Either nothing is lost, or it may be.
    const exact = integer.apply(`${lane}.convert_${type}_s`).apply(`${lane}.eq`, x!);
    const fits = isLess(c, shape, rounded, 2 ** (type === 'i32' ? 31 : 63));
    // What is too large has become the largest integer.
    const below = type === 'i32' ? integer.ne(0x7fff_ffff) : integer.ne(0x7fff_ffff_ffff_ffffn);
    const conversion: Conversion = `${lane === 'f32' ? 'single' : 'double'}ToInt${type === 'i32' ? 32 : 64}`;
    return choosePath(c, exact.and(below).or(isNative(c).and(fits)), integer, () =>
      exactScalar(c, conversion, x!, type, truncates ? mxcsr.truncate : byMxcsr),
    );
  });
}

/** Packed numbers to 32-bit integers (v128). */
function toIntegers(c: Semantics, shape: Shape, source: Value, truncates: boolean, count: number): Value {
  const { lanes } = shape;
  const rounded = truncates ? source : source.apply(`${lanes}.nearest`);
  const integers = rounded.apply(
    lanes === 'f32x4' ? 'i32x4.trunc_sat_f32x4_s' : 'i32x4.trunc_sat_f64x2_s_zero',
  );
  const fast = isNative(c).and(all(shape, isLess(c, shape, rounded, 2 ** 31)));
  const conversion = lanes === 'f32x4' ? 'singleToInt32' : 'doubleToInt32';
  return choosePath(c, fast, integers, () =>
    exactly(c, conversion, count, source, truncates ? mxcsr.truncate : byMxcsr),
  );
}

function packedToIntegers(shape: Shape, truncates: boolean): Meaning {
  const count = shape.size === 4 ? 4 : 2;
  return meaning('w r', (c, source) => toIntegers(c, shape, source!, truncates, count));
}

/** CVTPS2PI, CVTPD2PI and their truncating forms. */
function packedToMmx(shape: Shape, truncates: boolean): Meaning {
  return meaning('w r', (c, source) =>
    lowHalf(toIntegers(c, shape, shape.size === 4 ? widened(source!) : source!, truncates, 2)),
  );
}

/** 32-bit integers to single precision (v128). */
function toSingles(c: Semantics, source: Value, count: number): Value {
  const lanes = (value: number) => c.i32(value).apply('i32x4.splat');
  const moved = source.apply('i32x4.add', lanes(exactInSingle));
  const small = moved.apply('i32x4.le_u', lanes(2 * exactInSingle)).apply('i32x4.all_true');
  return choosePath(c, isNative(c).or(small), source.apply('f32x4.convert_i32x4_s'), () =>
    exactly(c, 'int32ToSingle', count, source),
  );
}

const integersToSingles = meaning('w r', (c, source) => toSingles(c, source!, 4));
const mmxToSingles = meaning('w r', (c, source) => lowHalf(toSingles(c, widened(source!), 2)));
/** CVTDQ2PD, CVTPI2PD: exact always. */
const integersToDoubles = meaning('w r', (_, source) => widened(source!).apply('f64x2.convert_low_i32x4_s'));

const singleToDouble = meaning('w r', (c, x) =>
  choosePath(c, isQuiet(c, ss, x!), x!.apply('f64.promote_f32'), () =>
    exactScalar(c, 'singleToDouble', x!, 'f64'),
  ),
);

const singlesToDoubles = meaning('w r', (c, source) => {
  const x = widened(source!);
  return choosePath(c, all(ps, isQuiet(c, ps, x)), x.apply('f64x2.promote_low_f32x4'), () =>
    exactly(c, 'singleToDouble', 2, x),
  );
});

/** A number that raises no exception in single precision but, perhaps, the precision exception. */
function narrowsWell(c: Semantics, wide: Shape, narrow: Shape, x: Value, result: Value): Value {
  // Zeros come from zeros alone when the operand is not so small that it underflows.
  const enough = either(wide, isZero(c, wide, x), isAtLeast(c, wide, x, 2 * narrow.smallest));
  return isNative(c)
    .and(all(wide, enough))
    .and(all(narrow, isBounded(c, narrow, result)));
}

const doubleToSingle = meaning('w r', (c, x) => {
  const result = x!.apply('f32.demote_f64');
  return choosePath(c, narrowsWell(c, sd, ss, x!, result), result, () =>
    exactScalar(c, 'doubleToSingle', x!, 'f32'),
  );
});

const doublesToSingles = meaning('w r', (c, source) => {
  const result = source!.apply('f32x4.demote_f64x2_zero');
  const fast = narrowsWell(c, pd, ps, source!, result);
  return choosePath(c, fast, result, () => exactly(c, 'doubleToSingle', 2, source!));
});

/** ROUNDPS and its like. */
function roundToIntegral(shape: Shape): Meaning {
  return meaning('w r r', (c, x, immediate) => {
    const { fn } = c;
    const conversion = shape.size === 4 ? 'singleToIntegral' : 'doubleToIntegral';
    // With MXCSR as native arithmetic has it, its rounding mode is to nearest.
    const ownMode = immediate!.and(byMxcsr).eqz();
    const undisturbed = immediate!
      .and(byMxcsr | noPrecision)
      .eq(noPrecision)
      .and(c.state32(layout.mxcsr).and(mxcsr.DAZ).eqz());
    const fast = isNative(c)
      .or(undisturbed)
      .and(all(shape, isNumber(shape, x!)));
    const result = fn.local(shape.type);
    fn.if(
      fast,
      () => {
        const by = (name: string) => () => result.set(x!.apply(`${shape.unit}.${name}`));
        const mode = fn.select(ownMode, immediate!.and(3), fn.i32(mxcsr.nearest));
        fn.switch(mode, [by('nearest'), by('floor'), by('ceil')], by('trunc'));
      },
      () => {
        result.set(
          shape.scalar
            ? exactScalar(c, conversion, x!, shape.lane, immediate!)
            : exactly(c, conversion, 16 / shape.size, x!, immediate!),
        );
      },
    );
    return result.get();
  });
}

/** Opcode rows of this file. */
export const sseConversions: readonly Row[] = [
  ...row('F3 0F 2A', 'CVTSI2SS Vss,Ey', fromInteger(ss)),
  ...row('F2 0F 2A', 'CVTSI2SD Vsd,Ey', fromInteger(sd)),
  ...row('F3 0F 2C', 'CVTTSS2SI Gy,Wss', toInteger(ss, true)),
  ...row('F2 0F 2C', 'CVTTSD2SI Gy,Wsd', toInteger(sd, true)),
  ...row('F3 0F 2D', 'CVTSS2SI Gy,Wss', toInteger(ss, false)),
  ...row('F2 0F 2D', 'CVTSD2SI Gy,Wsd', toInteger(sd, false)),
  // From memory these have nothing to do with MMX registers.
  ...row('NP 0F 2A mem', 'CVTPI2PS Vq,Mq', mmxToSingles),
  ...row('NP 0F 2A reg', 'CVTPI2PS Vq,Nq', mmxToSingles),
  ...row('66 0F 2A mem', 'CVTPI2PD Vdq,Mq', integersToDoubles),
  ...row('66 0F 2A reg', 'CVTPI2PD Vdq,Nq', integersToDoubles),
  ...row('NP 0F 2C', 'CVTTPS2PI Pq,Wq', packedToMmx(ps, true)),
  ...row('66 0F 2C', 'CVTTPD2PI Pq,Wdq', packedToMmx(pd, true)),
  ...row('NP 0F 2D', 'CVTPS2PI Pq,Wq', packedToMmx(ps, false)),
  ...row('66 0F 2D', 'CVTPD2PI Pq,Wdq', packedToMmx(pd, false)),
  ...row('NP 0F 5B', 'CVTDQ2PS Vdq,Wdq', integersToSingles),
  ...row('66 0F 5B', 'CVTPS2DQ Vdq,Wdq', packedToIntegers(ps, false)),
  ...row('F3 0F 5B', 'CVTTPS2DQ Vdq,Wdq', packedToIntegers(ps, true)),
  ...row('F3 0F E6', 'CVTDQ2PD Vdq,Wq', integersToDoubles),
  ...row('F2 0F E6', 'CVTPD2DQ Vdq,Wdq', packedToIntegers(pd, false)),
  ...row('66 0F E6', 'CVTTPD2DQ Vdq,Wdq', packedToIntegers(pd, true)),
  ...row('NP 0F 5A', 'CVTPS2PD Vdq,Wq', singlesToDoubles),
  ...row('66 0F 5A', 'CVTPD2PS Vdq,Wdq', doublesToSingles),
  ...row('F3 0F 5A', 'CVTSS2SD Vsd,Wss', singleToDouble),
  ...row('F2 0F 5A', 'CVTSD2SS Vss,Wsd', doubleToSingle),
  ...row('66 0F 3A 08', 'ROUNDPS Vdq,Wdq,Ib', roundToIntegral(ps)),
  ...row('66 0F 3A 09', 'ROUNDPD Vdq,Wdq,Ib', roundToIntegral(pd)),
  ...row('66 0F 3A 0A', 'ROUNDSS Vss,Wss,Ib', roundToIntegral(ss)),
  ...row('66 0F 3A 0B', 'ROUNDSD Vsd,Wsd,Ib', roundToIntegral(sd)),
];
