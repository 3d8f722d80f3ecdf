/** The comparison in PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM (SDM vol. 2, 4.1): which elements of the second operand match the first. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Value } from '../../wasm/value.ts';
import type { CorePart } from './core.ts';

/** Bits of the immediate. */
const words = 1;
const signed = 2;
const aggregationShift = 2;
const negative = 0x10;
const maskedNegative = 0x30;

interface Strings {
  readonly fn: FunctionBuilder;
  readonly shape: 'i8x16' | 'i16x8';
  readonly a: Value;
  readonly b: Value;
  readonly lengthA: Value;
  readonly lengthB: Value;
  readonly control: Value;
}

/** A bit for each of the first `count` (i32) elements. */
function first(count: Value): Value {
  return count.fn.i32(1).shl(count).sub(1);
}

/** The element with a number (i32) in every lane. */
function element({ shape }: Strings, vector: Value, number: Value): Value {
  return shape === 'i8x16'
    ? vector.apply('i8x16.swizzle', number.apply('i8x16.splat'))
    : vector.apply('i8x16.swizzle', number.mul(0x0202).add(0x0100).apply('i16x8.splat'));
}

/** A bit for each lane in which a comparison holds. */
function bits({ shape }: Strings, comparison: string, a: Value, b: Value): Value {
  return a.apply(`${shape}.${comparison}`, b).apply(`${shape}.bitmask`);
}

/** Does something for elements 0, `step`, 2 · `step` … of the first operand, as long as all of the step is valid. */
function forElements({ fn, lengthA }: Strings, step: 1 | 2, body: (number: Value) => void): void {
  const number = fn.local('i32', 0);
  fn.loop((again) => {
    fn.if(number.get().add(step).leU(lengthA), () => {
      body(number.get());
      number.set(number.get().add(step));
      again.br();
    });
  });
}

/** IntRes1: a bit for each element of the second operand. */
function matches(strings: Strings): Value {
  const { fn, a, b, lengthA, lengthB, control, shape } = strings;
  const count = shape === 'i8x16' ? 16 : 8;
  const result = fn.local('i32', 0);
  const valid = first(lengthB);
  const equalAny = () => {
    forElements(strings, 1, (i) => {
      result.set(result.get().or(bits(strings, 'eq', b, element(strings, a, i))));
    });
    result.set(result.get().and(valid));
  };
  const ranges = (sign: 's' | 'u') => {
    forElements(strings, 2, (i) => {
      const above = bits(strings, `ge_${sign}`, b, element(strings, a, i));
      const below = bits(strings, `le_${sign}`, b, element(strings, a, i.add(1)));
      result.set(result.get().or(above.and(below)));
    });
    result.set(result.get().and(valid));
  };
  const equalEach = () => {
    // Equal where both are valid, and where neither is.
    const [validA, all] = [first(lengthA), (1 << count) - 1];
    const same = bits(strings, 'eq', a, b).and(validA.and(valid));
    result.set(same.or(validA.or(valid).xor(all)));
  };
  const equalOrdered = () => {
    // Elements of the first operand that would fall behind the second's end do not count against a match.
    result.set((1 << count) - 1);
    forElements(strings, 1, (i) => {
      const here = bits(strings, 'eq', b, element(strings, a, i)).and(valid);
      const behind = first(fn.i32(count).sub(i)).not();
      result.set(result.get().and(here.shrU(i).or(behind)));
    });
  };
  fn.switch(
    control.shrU(aggregationShift).and(3),
    [
      equalAny,
      () =>
        fn.if(
          control.and(signed),
          () => ranges('s'),
          () => ranges('u'),
        ),
      equalEach,
    ],
    equalOrdered,
  );
  return result.get();
}

export const comparestrings: CorePart = (define) => {
  define('compareStrings', (fn) => {
    const [a, b, lengthA, lengthB, control] = [0, 1, 2, 3, 4].map((i) => fn.parameter(i).get()) as [
      Value,
      Value,
      Value,
      Value,
      Value,
    ];
    const result = fn.local('i32');
    const isWords = control.and(words);
    fn.if(
      isWords,
      () => result.set(matches({ fn, shape: 'i16x8', a, b, lengthA, lengthB, control })),
      () => result.set(matches({ fn, shape: 'i8x16', a, b, lengthA, lengthB, control })),
    );
    const all = fn.select(isWords, fn.i32(0xff), 0xffff);
    const inverted = fn.select(
      control.and(maskedNegative).eq(maskedNegative),
      first(lengthB),
      fn.select(control.and(maskedNegative).eq(negative), all, 0),
    );
    fn.return(result.get().xor(inverted));
  });
};
