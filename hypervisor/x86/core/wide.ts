/** Integer arithmetic wider than 64 bits, for the significands of x87 numbers. */
import type { CorePart } from './core.ts';

export const wide: CorePart = (define) => {
  define('multiply64', (fn) => {
    const a = fn.parameter(0).get();
    const b = fn.parameter(1).get();
    const low = (value: typeof a) => value.and(0xffff_ffff);
    const aLow = low(a);
    const aHigh = a.shrU(32);
    const bLow = low(b);
    const bHigh = b.shrU(32);
    const lowest = aLow.mul(bLow);
    // No sum overflows: (2^32 − 1)² + 2 · (2^32 − 1) < 2^64.
    const middle = aHigh.mul(bLow).add(lowest.shrU(32));
    const other = aLow.mul(bHigh).add(low(middle));
    const high = aHigh.mul(bHigh).add(middle.shrU(32)).add(other.shrU(32));
    fn.return(high, a.mul(b));
  });

  define('divide128', (fn) => {
    // Long division in two digits of 32 bits (Knuth, The Art of Computer Programming, vol. 2, 4.3.1, algorithm D).
    const low = fn.parameter(1).get();
    const divisor = fn.parameter(2).get();
    const divisorHigh = divisor.shrU(32);
    const divisorLow = divisor.and(0xffff_ffff);
    const digit = (high: typeof low, next: typeof low) => {
      const q = fn.local('i64', high.divU(divisorHigh));
      const rest = fn.local('i64', high.sub(q.get().mul(divisorHigh)));
      fn.loop((again) => {
        const tooLarge = q
          .get()
          .shrU(32)
          .ne(0)
          .or(q.get().mul(divisorLow).gtU(rest.get().shl(32).or(next)));
        fn.if(tooLarge, () => {
          q.set(q.get().sub(1));
          rest.set(rest.get().add(divisorHigh));
          again.brIf(rest.get().shrU(32).eqz());
        });
      });
      return q.get();
    };
    const high = fn.parameter(0).get();
    const first = digit(high, low.shrU(32));
    const left = high.shl(32).or(low.shrU(32)).sub(first.mul(divisor));
    const second = digit(left, low.and(0xffff_ffff));
    const remainder = left.shl(32).or(low.and(0xffff_ffff)).sub(second.mul(divisor));
    fn.return(first.shl(32).or(second), remainder);
  });

  define('shiftRight128', (fn) => {
    const high = fn.parameter(0).get();
    const low = fn.parameter(1).get();
    const count = fn.parameter(2).get();
    const by = count.extendU();
    fn.if(count.ltU(64), () => {
      fn.if(count.eqz(), () => fn.return(high, low));
      const back = fn.i64(64).sub(by);
      const lost = low.shl(back).ne(0).extendU();
      fn.return(high.shrU(by), high.shl(back).or(low.shrU(by)).or(lost));
    });
    fn.if(count.ltU(128), () => {
      // At 64 itself nothing of the high half is lost, and shifting back by 0 would say otherwise.
      const kept = fn.select(count.eq(64), fn.i64(0), high.shl(fn.i64(128).sub(by)));
      fn.return(0, high.shrU(by.sub(64)).or(kept.or(low).ne(0).extendU()));
    });
    fn.return(0, high.or(low).ne(0).extendU());
  });
};
