/** The x87 register stack and the responses to exceptions (SDM vol. 1, 8.1.2, 8.4 and 8.5). */
import type { Operand, Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { CR0 } from '../mode.ts';
import type { CorePart } from './core.ts';
import { C1, DE, type Float80, IE, indefinite, OE, PE, UE, ZE } from './float80.ts';
import { Routine } from './routine.ts';

/** Further bits of the status word. */
export const SF = 0x40;
const ES = 0x80;
const B = 0x8000;
/** ES and B, which always agree (SDM vol. 1, 8.1.3). */
export const summary = ES | B;
/** The exceptions that the control word masks. */
export const allExceptions = IE | DE | ZE | OE | UE | PE;
/** Exceptions found before anything is computed: unmasked, they leave the operands as they are (SDM vol. 1, 8.5). */
const before = IE | DE | ZE;

/** Reads and changes the register stack in a routine whose first parameter is the vCPU's base. */
export class Stack extends Routine {
  get control(): Value {
    return this.state32(layout.fcw);
  }

  get status(): Value {
    return this.state32(layout.fsw);
  }

  /** Physical number of ST(position). */
  number(position: Operand): Value {
    return this.state32(layout.ftop).add(position).and(7);
  }

  /** Host address of physical register `number`. */
  address(number: Value): Value {
    return this.cpu.add(number.shl(4)).add(layout.fpr);
  }

  /** 1 when physical register `number` is not empty. */
  used(number: Value): Value {
    return this.state32(layout.ftag).shrU(number).and(1);
  }

  /** The number in the register at a host address. */
  register(address: Value): Float80 {
    return {
      significand: this.fn.load('i64', address),
      signExponent: this.fn.load('i32_16u', address, 8),
    };
  }

  /** Writes the register at a host address. It is for the caller to mark it used. */
  setRegister(address: Value, significand: Operand, signExponent: Operand): void {
    this.fn.store('i64', address, significand);
    this.fn.store('i32_16', address, signExponent, 8);
  }

  /** Marks physical register `number` used. */
  use(number: Value): void {
    this.setState32(layout.ftag, this.state32(layout.ftag).or(this.fn.i32(1).shl(number)));
  }

  /** Marks physical register `number` empty. */
  free(number: Value): void {
    this.setState32(layout.ftag, this.state32(layout.ftag).and(this.fn.i32(1).shl(number).not()));
  }

  clearC1(): void {
    this.setState32(layout.fsw, this.status.and(~C1));
  }

  /** Sets the condition codes among `mask` to `codes`. */
  setCodes(mask: number, codes: Operand): void {
    this.setState32(layout.fsw, this.status.and(~mask).or(codes));
  }

  pop(): void {
    this.fn.callAll(this.core.x87Pop, this.cpu);
  }

  signal(flags: Operand): Value {
    return this.fn.call(this.core.x87Signal, this.cpu, flags);
  }

  /** Calls `x87StackFault` for an underflow; gives 1 when it is masked. */
  underflow(address: Value): Value {
    return this.fn.call(this.core.x87StackFault, this.cpu, address, IE | SF);
  }
}

export const x87Stack: CorePart = (define, core) => {
  define('x87Ready', (fn) => {
    const s = new Stack(fn, core);
    const cr0 = s.state32(layout.cr0);
    const raise = (vector: number) => {
      s.setState32(layout.faultVector, vector);
      s.setState32(layout.faultCode, 0);
      fn.return(0);
    };
    fn.if(cr0.and(CR0.EM | CR0.TS), () => raise(exceptions.NM));
    // Without CR0.NE, FERR# would go to an interrupt controller; here it goes nowhere, as with IGNNE# asserted (SDM vol. 1, D.2).
    fn.if(s.status.and(ES).ne(0).and(cr0.and(CR0.NE).ne(0)), () => raise(exceptions.MF));
    fn.return(1);
  });

  define('x87Signal', (fn) => {
    const s = new Stack(fn, core);
    const flags = fn.parameter(1).get();
    const unmasked = flags.and(s.control.not()).and(allExceptions).ne(0);
    s.setState32(
      layout.fsw,
      s.status
        .and(~C1)
        .or(flags)
        .or(fn.select(unmasked, fn.i32(summary), fn.i32(0))),
    );
    fn.return(unmasked);
  });

  define('x87Result', (fn) => {
    const s = new Stack(fn, core);
    const address = fn.parameter(1).get();
    const flags = fn.parameter(4).get();
    fn.if(
      flags.eqz(),
      () => s.clearC1(),
      () => {
        s.signal(flags);
        fn.if(flags.and(before).and(s.control.not()), () => fn.return(0));
      },
    );
    s.setRegister(address, fn.parameter(2).get(), fn.parameter(3).get());
    fn.return(1);
  });

  define('x87StackFault', (fn) => {
    const s = new Stack(fn, core);
    const address = fn.parameter(1).get();
    const unmasked = s.signal(fn.parameter(2).get());
    fn.if(unmasked, () => fn.return(0));
    s.setRegister(address, indefinite.significand, indefinite.signExponent);
    s.use(address.sub(s.cpu).sub(layout.fpr).shrU(4));
    fn.return(1);
  });

  define('x87Pop', (fn) => {
    const s = new Stack(fn, core);
    const top = s.number(0);
    s.free(top);
    s.setState32(layout.ftop, top.add(1).and(7));
  });

  define('x87Push', (fn) => {
    const s = new Stack(fn, core);
    const number = s.number(-1);
    const address = s.address(number);
    fn.if(
      s.used(number),
      () => {
        const done = fn.call(core.x87StackFault, s.cpu, address, IE | SF | C1);
        fn.if(done.eqz(), () => fn.return());
      },
      () => {
        s.clearC1();
        s.setRegister(address, fn.parameter(1).get(), fn.parameter(2).get());
        s.use(number);
      },
    );
    s.setState32(layout.ftop, number);
  });
};
