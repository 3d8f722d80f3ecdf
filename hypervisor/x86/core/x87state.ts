/** The x87's control, status and tag words, and its environment in memory (SDM vol. 1, 8.1.3 … 8.1.10). */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import * as layout from '../layout.ts';
import { protectedMode, virtual8086 } from '../mode.ts';
import type { Core, CorePart } from './core.ts';
import { isNormal, isZero } from './float80.ts';
import { allExceptions, Stack, summary } from './x87stack.ts';

/** The control word after FNINIT: all exceptions masked, 64 bits, to nearest. */
export const initialControl = 0x037f;
/** Bits of the control word that can be set: masks, PC, RC and the infinity control that means nothing. Bit 6 is always set. */
const controlBits = 0x1f3f;
const controlFixed = 0x40;
const topShift = 11;
const topBits = 7 << topShift;

/** Length of the environment with operand size 2 or 4, in bytes; 80 bytes of registers follow it in FSAVE's area. */
export const environmentBytes = (size: 2 | 4): number => 7 * size;
export const registerBytes = 80;

/** Abridged tags (a bit each) from tags of two bits: 11 is empty. */
function abridge(fn: FunctionBuilder, tags: Value): Value {
  const result = fn.local('i32', 0);
  for (let i = 0; i < 8; i++) {
    const used = tags
      .shrU(2 * i)
      .and(3)
      .ne(3);
    result.set(result.get().or(used.shl(i)));
  }
  return result.get();
}

/** Tags of two bits, of which only empty and not empty are told apart by who needs them, from the register contents. */
function tags(fn: FunctionBuilder, core: Core): void {
  const s = new Stack(fn, core);
  const result = fn.local('i32', 0);
  const number = fn.local('i32', 7);
  fn.loop((again) => {
    const x = s.register(s.address(number.get()));
    // Valid 0, zero 1, special 2, empty 3 (SDM vol. 1, figure 8-7).
    const kind = fn.select(isNormal(x), fn.i32(0), fn.select(isZero(x), fn.i32(1), fn.i32(2)));
    const tag = fn.select(s.used(number.get()), kind, fn.i32(3));
    result.set(result.get().shl(2).or(tag));
    number.set(number.get().sub(1));
    again.brIf(number.get().geS(0));
  });
  fn.return(result.get());
}

/** Copies ST(0) … ST(7) between the register file and 80 bytes at `at`, 10 bytes each. */
export function eachRegister(s: Stack, size: 10 | 16, act: (distance: Value, register: Value) => void): void {
  const { fn } = s;
  const position = fn.local('i32', 0);
  fn.loop((again) => {
    act(position.get().mul(size), s.address(s.number(position.get())));
    position.set(position.get().add(1));
    again.brIf(position.get().ltU(8));
  });
}

export const x87State: CorePart = (define, core) => {
  define('x87Initialize', (fn) => {
    const s = new Stack(fn, core);
    s.setState32(layout.fcw, initialControl);
    for (const field of [layout.fsw, layout.ftop, layout.ftag, layout.fop, layout.fcs, layout.fds])
      s.setState32(field, 0);
    fn.store('i64', s.cpu, 0, layout.fip);
    fn.store('i64', s.cpu, 0, layout.fdp);
  });

  define('x87SetControl', (fn) => {
    const s = new Stack(fn, core);
    s.setState32(layout.fcw, fn.parameter(1).get().and(controlBits).or(controlFixed));
    // Unmasking an exception that is flagged makes it pending (SDM vol. 2, FLDCW).
    fn.callAll(core.x87SetStatus, s.cpu, fn.call(core.x87Status, s.cpu));
  });

  define('x87Status', (fn) => {
    const s = new Stack(fn, core);
    fn.return(s.status.or(s.number(0).shl(topShift)));
  });

  define('x87SetStatus', (fn) => {
    const s = new Stack(fn, core);
    const word = fn.parameter(1).get();
    const pending = word.and(s.control.not()).and(allExceptions);
    const rest = word.and(0xffff & ~topBits & ~summary);
    s.setState32(layout.fsw, rest.or(fn.select(pending, fn.i32(summary), fn.i32(0))));
    s.setState32(layout.ftop, word.shrU(topShift).and(7));
  });

  define('x87Tags', (fn) => tags(fn, core));

  define('x87SaveImage', (fn) => {
    const s = new Stack(fn, core);
    const wide = fn.parameter(1).get().eq(4);
    const image = s.cpu.add(layout.image);
    const mode = s.state32(layout.mode);
    const isProtected = mode.and(protectedMode | virtual8086).eq(protectedMode);
    const status = fn.call(core.x87Status, s.cpu);
    const tagWord = fn.call(core.x87Tags, s.cpu);
    const fip = s.state32(layout.fip);
    const fdp = s.state32(layout.fdp);
    const fop = s.state32(layout.fop);
    const fcs = s.state32(layout.fcs);
    const fds = s.state32(layout.fds);
    // Real mode and virtual-8086 mode have linear addresses (SDM vol. 1, figures 8-10 and 8-12).
    const instruction = fip.add(fcs.shl(4));
    const operand = fdp.add(fds.shl(4));
    fn.if(
      wide,
      () => {
        // The upper halves of words are stored as ones.
        const upper = 0xffff_0000;
        const put = (place: number, value: Operand) => fn.store('i32', image, value, 4 * place);
        put(0, s.control.or(upper));
        put(1, status.or(upper));
        put(2, tagWord.or(upper));
        fn.if(
          isProtected,
          () => {
            put(3, fip);
            put(4, fcs.or(fop.shl(16)));
            put(5, fdp);
            put(6, fds.or(upper));
          },
          () => {
            put(3, instruction.and(0xffff).or(upper));
            put(4, instruction.shrU(16).shl(12).or(fop).and(0xfff_ffff));
            put(5, operand.and(0xffff).or(upper));
            put(6, operand.shrU(16).shl(12).and(0xfff_ffff));
          },
        );
      },
      () => {
        const put = (place: number, value: Operand) => fn.store('i32_16', image, value, 2 * place);
        put(0, s.control);
        put(1, status);
        put(2, tagWord);
        fn.if(
          isProtected,
          () => {
            put(3, fip);
            put(4, fcs);
            put(5, fdp);
            put(6, fds);
          },
          () => {
            put(3, instruction);
            put(4, instruction.shrU(4).and(0xf000).or(fop));
            put(5, operand);
            put(6, operand.shrU(4).and(0xf000));
          },
        );
      },
    );
    const registers = image.add(fn.parameter(1).get().mul(7));
    eachRegister(s, 10, (distance, register) => {
      const { significand, signExponent } = s.register(register);
      fn.store('i64', registers.add(distance), significand);
      fn.store('i32_16', registers.add(distance), signExponent, 8);
    });
  });

  define('x87LoadImage', (fn) => {
    const s = new Stack(fn, core);
    const wide = fn.parameter(1).get().eq(4);
    const image = s.cpu.add(layout.image);
    const mode = s.state32(layout.mode);
    const isProtected = mode.and(protectedMode | virtual8086).eq(protectedMode);
    const control = fn.local('i32');
    const status = fn.local('i32');
    const tagWord = fn.local('i32');
    const setPointer = (field: number, value: Value) => fn.store('i64', s.cpu, value.extendU(), field);
    fn.if(
      wide,
      () => {
        const get = (place: number) => fn.load('i32', image, 4 * place);
        const half = (place: number) => get(place).and(0xffff);
        control.set(half(0));
        status.set(half(1));
        tagWord.set(half(2));
        fn.if(
          isProtected,
          () => {
            setPointer(layout.fip, get(3));
            s.setState32(layout.fcs, half(4));
            s.setState32(layout.fop, get(4).shrU(16).and(0x7ff));
            setPointer(layout.fdp, get(5));
            s.setState32(layout.fds, half(6));
          },
          () => {
            setPointer(layout.fip, half(3).or(get(4).shrU(12).and(0xffff).shl(16)));
            s.setState32(layout.fop, get(4).and(0x7ff));
            setPointer(layout.fdp, half(5).or(get(6).shrU(12).and(0xffff).shl(16)));
            s.setState32(layout.fcs, 0);
            s.setState32(layout.fds, 0);
          },
        );
      },
      () => {
        const get = (place: number) => fn.load('i32_16u', image, 2 * place);
        control.set(get(0));
        status.set(get(1));
        tagWord.set(get(2));
        fn.if(
          isProtected,
          () => {
            setPointer(layout.fip, get(3));
            s.setState32(layout.fcs, get(4));
            setPointer(layout.fdp, get(5));
            s.setState32(layout.fds, get(6));
          },
          () => {
            setPointer(layout.fip, get(3).or(get(4).and(0xf000).shl(4)));
            s.setState32(layout.fop, get(4).and(0x7ff));
            setPointer(layout.fdp, get(5).or(get(6).and(0xf000).shl(4)));
            s.setState32(layout.fcs, 0);
            s.setState32(layout.fds, 0);
          },
        );
      },
    );
    s.setState32(layout.fcw, control.get().and(controlBits).or(controlFixed));
    fn.callAll(core.x87SetStatus, s.cpu, status.get());
    s.setState32(layout.ftag, abridge(fn, tagWord.get()));
    fn.if(fn.parameter(2).get(), () => {
      const registers = image.add(fn.parameter(1).get().mul(7));
      eachRegister(s, 10, (distance, register) => {
        s.setRegister(
          register,
          fn.load('i64', registers.add(distance)),
          fn.load('i32_16u', registers.add(distance), 8),
        );
      });
    });
  });
};
