/**
 * The core: routines that instructions share, as one WebAssembly module. What happens often (TLB refill, page
 * walk, jumps, exceptions, segment loads) is done there and never leaves WebAssembly.
 */
import type { FunctionBuilder, FunctionRef } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import { float80Types } from './float80types.ts';
import { signature as type } from './signature.ts';
import { sseTypes } from './ssetypes.ts';
import { x87Types } from './x87types.ts';

/** What executes a record: (cpu, record, budget). It ends by calling the next record's handler in its place. */
export const handlerType = type('i32 i32 i32');

/** Every routine of the core; the first parameter is the vCPU's base, where not said otherwise. */
export const coreTypes = {
  // flags.ts
  /** (kind and size, result, source of lazy flags) → CF. */
  carryOf: type('i32 i64 i64', 'i32'),
  /** The same → all six arithmetic flags at their places. */
  allFlagsOf: type('i32 i64 i64', 'i32'),
  /** (cpu) → all six arithmetic flags of the state. */
  allFlags: type('i32', 'i32'),
  // paging.ts
  /** (cpu, physical address, 0 or `physicalWrite`) → host address; 0 when the host must act first; −1 when there is no memory. */
  physical: type('i32 i64 i32', 'i32'),
  /** (cpu, linear, access) → physical address of the page with attributes, or −1 after recording a fault. */
  walk: type('i32 i64 i32', 'i64'),
  // access.ts
  /** (cpu, linear, kind) → host address, 0 after recording a fault; see `memoryaccess.ts`. */
  access: type('i32 i64 i32', 'i32'),
  /** (cpu, linear, kind) → host address in one page; 0 fault, 1 device. */
  page: type('i32 i64 i32', 'i32'),
  /** Completes the write that `access` left in the scratch area. */
  commit: type('i32'),
  /** (cpu, linear) → decoded page to execute from, 0 after recording a fault. */
  fetch: type('i32 i64', 'i32'),
  /** (cpu, 1 to keep global pages): forgets translations. */
  flushTlb: type('i32 i32'),
  /** (cpu, linear): forgets the translation of one page. */
  flushPage: type('i32 i64'),
  /** (cpu, host address of a frame): forgets translations that lead there to read or write. */
  forgetFrame: type('i32 i32'),
  /** The same, to write alone. */
  forgetWrites: type('i32 i32'),
  // control.ts
  /** (cpu, linear, budget): goes on there. */
  jump: type('i32 i64 i32'),
  /** (cpu, linear, budget): as jump, from a region; stops there when the budget is used up. */
  goOn: type('i32 i64 i32'),
  /** (cpu, offset, budget): as goOn, to that offset of the present page, or one behind it. */
  within: type('i32 i32 i32'),
  /** (cpu, leader): the region that it leads to has been entered often. */
  busy: type('i32 i32'),
  /** (cpu, offset, budget): a region gives up; interprets from that offset of the present page on, which has been decoded. */
  interpret: type('i32 i32 i32'),
  /**
   * (cpu, offset, budget, bit 12: whether the group's bytes lie in two pages, the region's table entry): as `interpret`, for an instruction whose access is
   * the first of a group (`translate/groups.ts`), and the TLB has no entry that serves for all of the group.
   */
  missed: type('i32 i32 i32 i64 i32'),
  /** (cpu, record of a direct jump within its page, budget): finds the target's record, links it, goes on there. */
  link: type('i32 i32 i32'),
  /** (cpu, record, budget): goes on at an instruction that reaches into the next page. */
  crossing: type('i32 i32 i32'),
  /** (cpu, record, budget): stops before the record. */
  stop: type('i32 i32 i32'),
  /** (cpu, record): the exception recorded in the state happens to the record's instruction. */
  fault: type('i32 i32'),
  /** (cpu): the exception recorded in the state happens at the state's RIP. */
  exception: type('i32'),
  /** (cpu): the instruction at the state's RIP is stopped at a breakpoint. */
  atBreakpoint: type('i32'),
  /** (cpu, 1 when an event was delivered, 0 when the host must act first): goes on at its handler. */
  afterEvent: type('i32 i32'),
  /** (cpu): starts at the state's RIP with the state's budget. */
  enter: type('i32'),
  /** (cpu, budget): as enter with that budget, from a region. */
  reenter: type('i32 i32'),
  /** (cpu): recomputes mode, privilege level and TLB set. */
  updateMode: type('i32'),
  // run.ts
  /** (cpu): runs from the state's RIP with the state's budget, and delivers the debug trap that may be due at the end. */
  run: type('i32'),
  /** (cpu) → 1 to execute the next instruction, 0 when something must happen before it. */
  attend: type('i32', 'i32'),
  // segments.ts
  /** (cpu, offset of the segment's base, offset, size, 1 to write) → linear address, negative after recording a fault. */
  segmentLinear: type('i32 i32 i64 i32 i32', 'i64'),
  /** (cpu, segment number, selector) → 1, or 0 after recording a fault. MOV and POP to DS, ES, FS, GS, SS. */
  loadSegment: type('i32 i32 i32', 'i32'),
  /** (cpu, selector, bytes) → 1 with the linear address of its descriptor in result0; 0 when it is outside its table. */
  locate: type('i32 i32 i32', 'i32'),
  /** (cpu, segment number, selector, descriptor): fills a segment register. */
  setSegment: type('i32 i32 i32 i64'),
  // system.ts
  /** (cpu, control register, value) → 1, or 0 after recording a fault: MOV to CR0, CR3, CR4. */
  writeControl: type('i32 i32 i64', 'i32'),
  /** (cpu) → time-stamp counter. */
  readTsc: type('i32', 'i64'),
  /** (cpu) → 64 seeded random bits. */
  random: type('i32', 'i64'),
  /** (cpu, next RIP): SYSCALL. */
  systemCall: type('i32 i64'),
  /** (cpu, 1 with REX.W) → 1, or 0 after recording a fault: SYSRET. */
  systemReturn: type('i32 i32', 'i32'),
  /** (cpu) → 1, or 0 after recording a fault: SYSENTER. */
  sysenter: type('i32', 'i32'),
  /** (cpu, 1 with REX.W) → 1, or 0 after recording a fault: SYSEXIT. */
  sysexit: type('i32 i32', 'i32'),
  /** (cpu, leaf, subleaf): EAX and EBX in result0, ECX and EDX in result1. */
  cpuid: type('i32 i32 i32'),
  /** (cpu, register) → 1 with the value in result0; 0 when there is no such register. */
  readMsr: type('i32 i32', 'i32'),
  /** (cpu, register, low half, high half) → 1; 0 when it refuses the value. */
  writeMsr: type('i32 i32 i32 i32', 'i32'),
  /** (cpu) → task priority, CR8. */
  readCr8: type('i32', 'i32'),
  writeCr8: type('i32 i32'),
  // stack.ts
  /** (cpu, distance from the top of the present stack in bytes, size) → host address, 0 after recording a fault. */
  stackItem: type('i32 i32 i32', 'i32'),
  /** (cpu, value, size, error code of #SS) → 1, or 0 after recording a fault: pushes on the new stack. */
  stackPush: type('i32 i64 i32 i32', 'i32'),
  // far.ts
  /** (cpu, selector, offset) → 1, or 0 after recording a fault. */
  farJump: type('i32 i32 i64', 'i32'),
  /** (cpu, selector, offset, operand size) → 1, or 0 after recording a fault. */
  farCall: type('i32 i32 i64 i32', 'i32'),
  /** (cpu, operand size, bytes of parameters to drop) → 1, or 0 after recording a fault. */
  farReturn: type('i32 i32 i32', 'i32'),
  // debug.ts
  /** (cpu, address, bytes, types as a mask of DR7's R/W codes) → breakpoints met, as B0 … B3 of DR6. */
  breakpoints: type('i32 i64 i32 i32', 'i32'),
  /** (cpu, linear) → 1 when the instruction there is stopped at a breakpoint, whose mask is in result0. */
  stopsAt: type('i32 i64', 'i32'),
  /** (cpu, register) → 1, or 0 after recording a fault: may debug register 0 … 7 be accessed? */
  debugAllowed: type('i32 i32', 'i32'),
  /** (cpu, register 0 … 7, value) → 1, or 0 after recording a fault. */
  writeDebug: type('i32 i32 i64', 'i32'),
  // protection.ts
  /** (cpu, selector, `inspections`) → 1 with the result in result0; 0 when the selector does not pass; −1 after recording a fault. */
  inspect: type('i32 i32 i32', 'i32'),
  /** (cpu, selector) → 1, or 0 after recording a fault. */
  loadLdtr: type('i32 i32', 'i32'),
  loadTr: type('i32 i32', 'i32'),
  // interruptreturn.ts
  /** (cpu, operand size) → 1, or 0 after recording a fault. */
  interruptReturn: type('i32 i32', 'i32'),
  interruptReturn16: type('i32', 'i32'),
  interruptReturn32: type('i32', 'i32'),
  interruptReturn64: type('i32', 'i32'),
  // ports.ts
  /** (cpu, port, size) → 1, or 0 after recording a fault: may the program access it? */
  portAllowed: type('i32 i32 i32', 'i32'),
  /** (cpu, port, size) → value. */
  portIn: type('i32 i32 i32', 'i32'),
  /** (cpu, port, size, value). */
  portOut: type('i32 i32 i32 i32'),
  // delivery.ts
  /** (cpu, vector, error code, kind) → 1 delivered, 0 the host must act first or the machine shuts down. */
  deliver: type('i32 i32 i32 i32', 'i32'),
  /** One attempt at it: 1, or 0 after recording a second fault. */
  deliverOnce: type('i32 i32 i32 i32', 'i32'),
  // tasks.ts
  /**
   * (cpu, TSS selector, `taskCauses`, `taskOptions`, error code) → 1, or 0 after recording a fault, which may be the new
   * task's. The old task goes on at the state's `nextRip`.
   */
  taskSwitch: type('i32 i32 i32 i32 i32', 'i32'),
  switchOnce: type('i32 i32 i32 i32 i32', 'i32'),
  /** (cpu, LDT selector, EXT bit) → 1, or 0 after recording a fault: loads the segments that the registers' selectors name. */
  loadTaskSegments: type('i32 i32 i32', 'i32'),
  ...float80Types,
  ...x87Types,
  ...sseTypes,
} as const;

/** Names of the core's routines. */
export type CoreName = keyof typeof coreTypes;

/** The core's routines as functions to call. */
export type Core = { readonly [Name in CoreName]: FunctionRef } & {
  /** Conditions O, B, Z, BE, S, P, L, LE of lazy flags: (kind and size, result, source) → 0 or 1. */
  readonly conditions: readonly FunctionRef[];
};

const conditionType = type('i32 i64 i64', 'i32');
const conditionNames = Array.from({ length: 8 }, (_, i) => `condition${i}`);

/** What the core calls in JavaScript; every first argument is the number of the vCPU. */
export const hostTypes = {
  /** (vCPU, guest-physical address, size) → value. Addresses fit in 32 bits: all device registers are below 4 GiB. */
  mmioRead: type('i32 i32 i32', 'i32'),
  mmioWrite: type('i32 i32 i32 i32'),
  portRead: type('i32 i32 i32', 'i32'),
  portWrite: type('i32 i32 i32 i32'),
  /** (vCPU, leaf, subleaf): leaves the result in the state's result fields. */
  cpuid: type('i32 i32 i32'),
  /** (vCPU, register) → 1 with the value in the state's result0, 0 when there is none. */
  readMsr: type('i32 i32', 'i32'),
  /** (vCPU, register, low half, high half) → 1 when taken. */
  writeMsr: type('i32 i32 i32 i32', 'i32'),
  readCr8: type('i32', 'i32'),
  writeCr8: type('i32 i32'),
  /** (vCPU, guest page number, code size, page number in 2 MiB of a kernel's text or −1) → decoded page for its present content. */
  codePageFor: type('i32 i32 i32 i32', 'i32'),
  /** (vCPU, decoded page, offset) → record, decoding from there. */
  decode: type('i32 i32 i32', 'i32'),
  /** (slide of the guest's kernel, record of a page-crossing instruction, its page, the next page) → record of the instruction. */
  decodeCrossing: type('i32 i32 i32 i32', 'i32'),
  /** (cpu, decoded page, offset): code there has been executed often. */
  hot: type('i32 i32 i32'),
  /** (table entry): the region there does badly, since groups of accesses often lie in two pages. */
  givenUp: type('i32'),
  /** (vCPU, guest page number): a page that has been decoded is about to be written. */
  codeWritten: type('i32 i32'),
} as const;

/** Names of the host's functions. */
export type HostName = keyof typeof hostTypes;
/** The host's functions, to be called. */
export type Host = { readonly [Name in HostName]: FunctionRef };

type Refs<Name extends string> = { readonly [N in Name]: FunctionRef };
type LazyRefs<Name extends string> = new (make: (name: Name) => FunctionRef) => Refs<Name>;

/**
 * A class of objects that have a function under each of the names, made when it is first asked for. Modules are made often, and each uses a few of
 * the many names.
 */
function lazily<Name extends string>(names: readonly Name[]): LazyRefs<Name> {
  class Lazy {
    readonly #made = new Map<Name, FunctionRef>();
    readonly #make: (name: Name) => FunctionRef;

    constructor(make: (name: Name) => FunctionRef) {
      this.#make = make;
    }

    static {
      for (const name of names) {
        Object.defineProperty(Lazy.prototype, name, {
          get(this: Lazy) {
            let ref = this.#made.get(name);
            if (ref === undefined) {
              ref = this.#make(name);
              this.#made.set(name, ref);
            }
            return ref;
          },
        });
      }
    }
  }
  return Lazy as unknown as LazyRefs<Name>;
}

const LazyRoutines = lazily(Object.keys(coreTypes) as CoreName[]);
const LazyConditions = lazily(conditionNames);
const LazyHost = lazily(Object.keys(hostTypes) as HostName[]);

/** The core as imports of another module; only what is used is imported. */
export function importCore(module: Pick<ModuleBuilder, 'importFunction'>): Core {
  const routines = new LazyRoutines((name) => module.importFunction('core', name, coreTypes[name]));
  const conditions = new LazyConditions((name) => module.importFunction('core', name, conditionType));
  return Object.defineProperty(routines, 'conditions', {
    value: new Proxy([], {
      get: (_, name) => (name === 'length' ? conditionNames.length : conditions[`condition${String(name)}`]),
    }),
  }) as Core;
}

/** The host's functions as imports; only what is used is imported. */
export function importHost(module: ModuleBuilder): Host {
  return new LazyHost((name) => module.importFunction('host', name, hostTypes[name]));
}

/** A part of the core: defines some of its routines. */
export type CorePart = (define: DefineRoutine, core: Core, host: Host) => void;
/** Gives a routine its body. */
export type DefineRoutine = (
  name: CoreName | `condition${number}`,
  build: (fn: FunctionBuilder) => void,
) => void;

/** Adds all of the core to a module and exports it. Every routine must be defined by one of the parts. */
export function defineCore(module: ModuleBuilder, parts: readonly CorePart[], tableSize: number): void {
  const none = module.define('none', handlerType, (fn) => fn.unreachable());
  module.table('table', handlerType, tableSize, none);
  module.export('none', none);
  const declared = new Map<string, FunctionRef & { readonly builder: FunctionBuilder }>();
  const routines = {} as Record<string, FunctionRef>;
  for (const name of Object.keys(coreTypes) as CoreName[])
    declared.set(name, module.declare(name, coreTypes[name]));
  for (const name of conditionNames) declared.set(name, module.declare(name, conditionType));
  for (const [name, fn] of declared) {
    routines[name] = fn;
    module.export(name, fn);
  }
  const core = Object.assign({}, routines, {
    conditions: conditionNames.map((name) => routines[name]!),
  }) as unknown as Core;
  const host = importHost(module);
  const missing = new Set(declared.keys());
  for (const part of parts) {
    part(
      (name, build) => {
        if (!missing.delete(name)) throw new Error(`routine ${name} defined twice`);
        build(declared.get(name)!.builder);
      },
      core,
      host,
    );
  }
  if (missing.size > 0) throw new Error(`routines without a body: ${[...missing].join(', ')}`);
}
