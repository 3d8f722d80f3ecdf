/** What routines of the core have in common: the vCPU's state, and the system's own accesses to memory. */
import type { FunctionBuilder } from '../../wasm/function.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import { arithmeticFlags, FIXED } from '../flags.ts';
import * as layout from '../layout.ts';
import { system, writes } from '../memoryaccess.ts';
import { loadName, storeName } from '../semantics.ts';
import type { Core } from './core.ts';

/**
 * Builds a routine that gives 1 when it succeeded and 0 after recording a fault; every method that can fault
 * leaves the routine with 0.
 */
export class Routine {
  readonly fn: FunctionBuilder;
  readonly core: Core;
  readonly cpu: Value;

  constructor(fn: FunctionBuilder, core: Core) {
    this.fn = fn;
    this.core = core;
    this.cpu = fn.parameter(0).get();
  }

  state32(offset: number): Value {
    return this.fn.load('i32', this.cpu, offset);
  }

  state64(offset: number): Value {
    return this.fn.load('i64', this.cpu, offset);
  }

  setState32(offset: number, value: Operand): void {
    this.fn.store('i32', this.cpu, value, offset);
  }

  setState64(offset: number, value: Operand): void {
    this.fn.store('i64', this.cpu, value, offset);
  }

  /** Records exception `vector` and leaves with 0. */
  raise(vector: Operand, code: Operand = 0): void {
    this.setState32(layout.faultVector, vector);
    this.setState32(layout.faultCode, code);
    this.fn.return(0);
  }

  raiseIf(condition: Value, vector: Operand, code: Operand = 0): void {
    this.fn.if(condition, () => this.raise(vector, code));
  }

  /** Leaves with 0 when another routine did. */
  require(success: Value): void {
    this.fn.if(success.eqz(), () => this.fn.return(0));
  }

  /** Reads `size` bytes at a linear address, as the system itself does. */
  read(linear: Value, size: number): Value {
    const host = this.fn.call(this.core.access, this.cpu, linear, size | system);
    this.require(host);
    return this.fn.load(loadName(size), host);
  }

  /** Writes `size` bytes at a linear address, as the system itself does. */
  write(linear: Value, size: number, value: Value): void {
    const host = this.fn.call(this.core.access, this.cpu, linear, size | system | writes);
    this.require(host);
    this.fn.store(storeName(size), host, value);
    this.fn.callAll(this.core.commit, this.cpu);
  }

  /** All of RFLAGS (i32). */
  flags(): Value {
    return this.state32(layout.systemFlags).or(this.fn.call(this.core.allFlags, this.cpu)).or(FIXED);
  }

  /** Sets the flags in `mask` from an image; the arithmetic ones always. */
  setFlags(image: Value, mask: Value): void {
    const kept = this.state32(layout.systemFlags).and(mask.not());
    this.setState32(layout.systemFlags, kept.or(image.and(mask).and(~arithmeticFlags)));
    this.setState32(layout.ccOp, 0);
    this.setState64(layout.ccDst, 0);
    this.setState64(layout.ccSrc, image.and(arithmeticFlags).extendU());
  }

  /** A field of a segment register. */
  segment(number: number, field: number): number {
    return layout.segmentOffset(number) + field;
  }

  /** Fills a segment register. */
  setSegment(number: number, selector: Operand, base: Operand, limit: Operand, attributes: Operand): void {
    this.setState64(layout.segmentOffset(number), base);
    this.setState32(this.segment(number, layout.segmentLimit), limit);
    this.setState32(this.segment(number, layout.segmentAttributes), attributes);
    this.setState32(this.segment(number, layout.segmentSelector), selector);
  }
}

/** A selector as an error code: without its RPL. */
export function selectorError(selector: Value): Value {
  return selector.and(0xfffc);
}

/** The attributes of a descriptor (i32), as `segments.ts` describes them. */
export function attributesOf(descriptor: Value): Value {
  return descriptor.shrU(40).wrap().and(0xf0ff);
}

/** Base address (i64) in a code, data or 8-byte system descriptor. */
export function baseOf(descriptor: Value): Value {
  return descriptor.shrU(16).and(0xff_ffff).or(descriptor.shrU(56).shl(24));
}

/** Limit in bytes (i32) of a descriptor. */
export function limitOf(fn: FunctionBuilder, descriptor: Value): Value {
  const raw = descriptor.wrap().and(0xffff).or(descriptor.shrU(32).wrap().and(0xf_0000));
  return fn.select(descriptor.shrU(55).wrap().and(1), raw.shl(12).or(0xfff), raw);
}

/** Descriptor privilege level of attributes. */
export function dplOf(attributes: Value): Value {
  return attributes.shrU(5).and(3);
}
