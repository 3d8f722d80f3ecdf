/** The segments of a task that is switched to, in the order of SDM vol. 3, table 8-1. */
import type { Value } from '../../wasm/value.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { virtual8086 } from '../mode.ts';
import { conforming, isCode, notSystem, presentBit, readWrite, types } from '../segments.ts';
import type { CorePart } from './core.ts';
import { attributesOf, dplOf, Routine, selectorError } from './routine.ts';
import { type Descriptor, markAccessed, readDescriptor } from './segments.ts';

export const taskSegments: CorePart = (define, core) => {
  define('loadTaskSegments', (fn) => {
    const r = new Routine(fn, core);
    const ldt = fn.parameter(1).get();
    const external = fn.parameter(2).get();
    loadLdt(r, ldt, external);
    fn.if(r.state32(layout.mode).and(virtual8086), () => fn.return(1));
    const level = fn.local('i32', r.state32(layout.cpl)).get();
    loadCode(r, level, external);
    loadStack(r, level, external);
    for (const number of [layout.DS, layout.ES, layout.FS, layout.GS]) loadData(r, number, level, external);
    fn.return(1);
  });
};

function load(r: Routine, number: number, selector: Value, { descriptor, linear }: Descriptor): void {
  markAccessed(r, descriptor, linear);
  r.fn.callAll(r.core.setSegment, r.cpu, number, selector, descriptor.or(1n << 40n));
}

/** The selector that a register has got (i32). */
function selectorIn(r: Routine, number: number): Value {
  return r.fn.local('i32', r.state32(r.segment(number, layout.segmentSelector))).get();
}

function loadLdt(r: Routine, selector: Value, external: Value): void {
  const { fn } = r;
  r.setSegment(layout.LDTR, selector, 0, 0, 0);
  fn.if(selector.and(0xfffc), () => {
    const error = selectorError(selector).or(external);
    r.raiseIf(selector.and(4), exceptions.TS, error);
    const { descriptor } = readDescriptor(r, selector, exceptions.TS, external);
    const attributes = attributesOf(descriptor);
    const isPresentLdt = attributes.and(0x1f | presentBit).eq(types.ldt | presentBit);
    r.raiseIf(isPresentLdt.eqz(), exceptions.TS, error);
    fn.callAll(r.core.setSegment, r.cpu, layout.LDTR, selector, descriptor);
  });
}

function loadCode(r: Routine, level: Value, external: Value): void {
  const { fn } = r;
  const selector = selectorIn(r, layout.CS);
  r.raiseIf(selector.and(0xfffc).eqz(), exceptions.TS, external);
  const found = readDescriptor(r, selector, exceptions.TS, external);
  const attributes = attributesOf(found.descriptor);
  const error = selectorError(selector).or(external);
  const dpl = dplOf(attributes);
  r.raiseIf(attributes.and(notSystem | isCode).ne(notSystem | isCode), exceptions.TS, error);
  const levels = fn.select(attributes.and(conforming), dpl.gtU(level), dpl.ne(level));
  r.raiseIf(levels, exceptions.TS, error);
  r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
  load(r, layout.CS, selector, found);
}

function loadStack(r: Routine, level: Value, external: Value): void {
  const selector = selectorIn(r, layout.SS);
  r.raiseIf(selector.and(0xfffc).eqz(), exceptions.TS, external);
  const found = readDescriptor(r, selector, exceptions.TS, external);
  const attributes = attributesOf(found.descriptor);
  const error = selectorError(selector).or(external);
  r.raiseIf(attributes.and(notSystem | isCode | readWrite).ne(notSystem | readWrite), exceptions.TS, error);
  r.raiseIf(attributes.and(presentBit).eqz(), exceptions.SS, error);
  r.raiseIf(dplOf(attributes).ne(level).or(selector.and(3).ne(level)), exceptions.TS, error);
  load(r, layout.SS, selector, found);
}

function loadData(r: Routine, number: number, level: Value, external: Value): void {
  const { fn } = r;
  const selector = selectorIn(r, number);
  fn.if(selector.and(0xfffc), () => {
    const found = readDescriptor(r, selector, exceptions.TS, external);
    const attributes = attributesOf(found.descriptor);
    const error = selectorError(selector).or(external);
    r.raiseIf(attributes.and(notSystem).eqz(), exceptions.TS, error);
    r.raiseIf(attributes.and(isCode | readWrite).eq(isCode), exceptions.TS, error);
    const open = attributes.and(isCode | conforming).eq(isCode | conforming);
    const dpl = dplOf(attributes);
    const tooInner = dpl.ltU(level).or(dpl.ltU(selector.and(3)));
    r.raiseIf(open.eqz().and(tooInner), exceptions.TS, error);
    r.raiseIf(attributes.and(presentBit).eqz(), exceptions.NP, error);
    load(r, number, selector, found);
  });
}
