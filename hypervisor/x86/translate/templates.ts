/** The store of templates: finds or makes the one for a decoded instruction. */
import { type BranchHint, emitTemplate, type HoleSink } from '../../wasm/emit.ts';
import type { Expectation, FunctionRef } from '../../wasm/function.ts';
import type { ValueType } from '../../wasm/opcodes.ts';
import * as codepage from '../codepage.ts';
import type { Core } from '../core/core.ts';
import { emitInstruction } from '../execute.ts';
import { type Form, operandSize } from '../form.ts';
import * as layout from '../layout.ts';
import { type FlagState, unknownFlags } from './flagstate.ts';
import {
  generalReg,
  generalRm,
  type JumpTo,
  NotTranslatable,
  type TemplateCase,
  TemplateSemantics,
  templateBuilder,
} from './semantics.ts';
import {
  type GroupRole,
  holeKinds,
  labels,
  locals,
  mostLocals,
  type Template,
  typeOrder,
} from './template.ts';

/** A form as the translator sees it. */
export interface FormTemplates {
  readonly form: Form;
  /** What it is called in statistics. */
  readonly name: string;
  /** Whether ModRM.reg and ModRM.rm name general registers. */
  readonly generalReg: boolean;
  readonly generalRm: boolean;
  /** Whether the immediate is part of the shape: where the code is far shorter when it is known (shift counts, shuffles). */
  readonly fixedImmediate: boolean;
  /** Whether the last operand is a jump's target. */
  readonly jumps: boolean;
  readonly isCall: boolean;
  readonly isReturn: boolean;
  /** Whether control never just goes on to the next instruction. */
  readonly ends: boolean;
  /**
   * How the register that it sets differs by a constant, if it does: it is a copy of another one, the memory operand's address (where that
   * is a register and a constant), or what it was plus or minus the immediate.
   */
  readonly setsBy: 'copy' | 'address' | 'sum' | 'difference' | undefined;
  /** By shape; undefined for a shape that cannot be translated. */
  readonly shapes: Map<number, Variants | undefined>;
  /** The shape that was looked for last, and what was found: mostly it is the next one as well. */
  lastShape: number;
  lastVariants: Variants | undefined;
}

/** The templates of one shape: the one that knows nothing of the flags, and the others by what they know. */
export interface Variants {
  readonly general: Template;
  readonly others: Map<number, Template>;
}

const jumpNumbers: Record<JumpTo, number> = { none: 0, inside: 1, within: 2, elsewhere: 3, across: 4 };
const jumpNames: readonly JumpTo[] = ['none', 'inside', 'within', 'elsewhere', 'across'];

const kindsOfReg = new Set(['G', 'Z']);
const kindsOfRm = new Set(['E', 'R']);

/** See {@link FormTemplates.setsBy}. */
function setsBy(form: Form, generalReg: boolean, generalRm: boolean): FormTemplates['setsBy'] {
  const { memory, slides, addressSize } = form;
  const { name, operands } = form.row;
  const [to, from] = operands;
  if (to === undefined || from === undefined || operandSize(to, form) !== 8) return undefined;
  if (name === 'MOV') return !memory && generalReg && generalRm ? 'copy' : undefined;
  if (name === 'LEA') return addressSize === 8 && slides.displacement === 0 ? 'address' : undefined;
  const isStep = !memory && generalRm && to.kind === 'E' && from.kind === 'I' && slides.immediate === 0;
  if (!isStep) return undefined;
  if (name === 'ADD') return 'sum';
  return name === 'SUB' ? 'difference' : undefined;
}

function describe(form: Form): FormTemplates {
  const { operands, options, name } = form.row;
  const first = operands[0];
  const generalReg = operands.some((spec) => kindsOfReg.has(spec.kind));
  const generalRm = !form.memory && operands.some((spec) => kindsOfRm.has(spec.kind));
  return {
    form,
    name: [name, ...operands.flatMap(({ kind, size }) => (kind === 'fixed' ? [] : `${kind}${size}`))].join(
      ' ',
    ),
    generalReg,
    generalRm,
    // Of the byte forms, those of arithmetic would be too many.
    fixedImmediate: first?.size !== 'b' && operands.some((spec) => spec.kind === 'I' && spec.size === 'b'),
    jumps: operands.some((spec) => spec.kind === 'J'),
    isCall: name === 'CALL',
    isReturn: name === 'RET',
    ends: options.ends === true,
    setsBy: setsBy(form, generalReg, generalRm),
    shapes: new Map(),
    lastShape: -1,
    lastVariants: undefined,
  };
}

/** Fields of a shape: what each takes of its number. */
const shapeOf = {
  reg: 1,
  rm: 2 ** 12,
  base: 2 ** 24,
  hasIndex: 2 ** 26,
  scale: 2 ** 27,
  hasDisplacement: 2 ** 29,
  segment: 2 ** 30,
  stack: 2 ** 32,
  jump: 2 ** 33,
  immediate: 2 ** 36,
} as const;
const bases = ['none', 'register', 'page'] as const;
const roles: readonly GroupRole[] = ['alone', 'firstToRead', 'firstToWrite', 'member'];
const segments = [layout.zero, layout.segmentOffset(layout.FS), layout.segmentOffset(layout.GS)];

function field(shape: number, unit: number, size: number): number {
  return Math.floor(shape / unit) % size;
}

/** Memory as typed arrays, for records. */
export interface RecordViews {
  readonly i32: Int32Array;
  readonly u16: Uint16Array;
  readonly u8: Uint8Array;
}

/** Number of the general register that a field of a record names. */
export function registerOf({ u16 }: RecordViews, record: number, field: number): number {
  return ((u16[(record + field) >> 1]! - layout.gpr) >> 3) & 15;
}

/** See the top of this file. */
export class Templates {
  readonly #core: Core;
  readonly #forms = new Map<Form, FormTemplates>();
  /** Routines that change nothing. */
  readonly #harmless: ReadonlySet<FunctionRef>;
  /** Templates made, for statistics. */
  made = 0;

  /** @param core the routines as imports whose numbers are the same in every module of regions */
  constructor(core: Core) {
    this.#core = core;
    const { carryOf, allFlagsOf, conditions } = core;
    this.#harmless = new Set([carryOf, allFlagsOf, ...Array.from(conditions)]);
  }

  /** What the translator knows of a form. */
  of(form: Form): FormTemplates {
    let known = this.#forms.get(form);
    if (known === undefined) {
      known = describe(form);
      this.#forms.set(form, known);
    }
    return known;
  }

  /** The shape of the instruction at a record. */
  shape(of: FormTemplates, { i32, u16, u8 }: RecordViews, record: number, jump: JumpTo): number {
    const { form } = of;
    const reg = u16[(record + codepage.reg) >> 1]!;
    const rm = u16[(record + codepage.rm) >> 1]!;
    const flags = u8[record + codepage.addressFlags]!;
    let shape = of.generalReg ? reg & 1 : reg;
    if (form.memory) {
      if (rm === layout.pageBase) shape += 2 * shapeOf.base;
      else if (rm !== layout.zero) shape += shapeOf.base;
      if (u16[(record + codepage.index) >> 1] !== layout.zero) {
        shape += shapeOf.hasIndex + (flags & codepage.scaleMask) * shapeOf.scale;
      }
      if (i32[(record + codepage.displacement) >> 2] !== 0 || form.slides.displacement !== 0)
        shape += shapeOf.hasDisplacement;
    } else shape += (of.generalRm ? rm & 1 : rm) * shapeOf.rm;
    const segment = segments.indexOf(u16[(record + codepage.segment) >> 1]!);
    shape += Math.max(segment, 0) * shapeOf.segment;
    if ((flags & codepage.stackFlag) !== 0) shape += shapeOf.stack;
    shape += jumpNumbers[jump] * shapeOf.jump;
    if (of.fixedImmediate)
      shape += (i32[(record + codepage.immediate) >> 2]! & 0xff_ffff) * shapeOf.immediate;
    return shape;
  }

  /** The templates of a shape of a form; undefined when it cannot be translated. */
  find(of: FormTemplates, shape: number): Variants | undefined {
    if (shape === of.lastShape) return of.lastVariants;
    let variants = of.shapes.get(shape);
    if (variants === undefined && !of.shapes.has(shape)) {
      const general = this.#make(of, shape, unknownFlags, true, false, 'alone');
      if (general !== undefined) variants = { general, others: new Map<number, Template>() };
      of.shapes.set(shape, variants);
    }
    of.lastShape = shape;
    of.lastVariants = variants;
    return variants;
  }

  /** The template for what is known of the flags before the instruction, whether those behind it are seen, and what its access is within a group. */
  variant(
    of: FormTemplates,
    shape: number,
    variants: Variants,
    flags: FlagState,
    flagsLive: boolean,
    role: GroupRole,
  ): Template {
    const { general, others } = variants;
    const before = general.readsFlags || general.keepsFlags ? flags : unknownFlags;
    const live = flagsLive || general.writesFlags === 'never' || general.exitsBehind;
    if (before === unknownFlags && live && role === 'alone') return general;
    const key = (before * 2 + Number(live)) * roles.length + roles.indexOf(role);
    let found = others.get(key);
    if (found === undefined) {
      found = this.#make(of, shape, before, live, general.flagsAfter === unknownFlags, role)!;
      others.set(key, found);
    }
    return found;
  }

  #make(
    of: FormTemplates,
    shape: number,
    flags: FlagState,
    flagsLive: boolean,
    setsOp: boolean,
    role: GroupRole,
  ): Template | undefined {
    const { form } = of;
    const reg = field(shape, shapeOf.reg, 4096);
    const rm = field(shape, shapeOf.rm, 4096);
    const what: TemplateCase = {
      form,
      reg: of.generalReg ? generalReg + reg : reg,
      rm: of.generalRm ? generalRm + rm : rm,
      base: bases[field(shape, shapeOf.base, 4)]!,
      hasIndex: field(shape, shapeOf.hasIndex, 2) === 1,
      scale: field(shape, shapeOf.scale, 4),
      hasDisplacement: field(shape, shapeOf.hasDisplacement, 2) === 1,
      segment: segments[field(shape, shapeOf.segment, 4)]!,
      stack: field(shape, shapeOf.stack, 2) === 1,
      immediate: of.fixedImmediate ? field(shape, shapeOf.immediate, 2 ** 24) : undefined,
      jump: jumpNames[field(shape, shapeOf.jump, 8)]!,
      flags,
      flagsLive,
      setsOp,
      role,
    };
    const fn = templateBuilder();
    const c = new TemplateSemantics(fn, this.#core, what);
    try {
      emitInstruction(c);
      c.end();
    } catch (error) {
      if (error instanceof NotTranslatable) return undefined;
      throw error;
    }
    const sink = new Holes(this.#harmless);
    const { bytes, locals: types } = emitTemplate(fn, sink);
    const scratchTypes = Uint8Array.from(types.slice(locals.scratch - 3), (type) => typeOrder.indexOf(type));
    if (locals.scratch + scratchTypes.length > mostLocals) return undefined;
    const counts = typeOrder.map(() => 0);
    const scratchOrdinals = scratchTypes.map((type) => counts[type]!++);
    // What is not written stays what it was.
    if (c.mayKeep) for (const local of sink.written) sink.read.add(local);
    const mask = (used: ReadonlySet<number>) => {
      let bits = 0;
      for (let number = 0; number < 16; number++) if (used.has(locals.gpr + number)) bits |= 1 << number;
      return bits;
    };
    this.made++;
    return {
      bytes,
      localsAt: Uint16Array.from(sink.localsAt),
      holes: Int32Array.from(sink.holes),
      codes: c.codes,
      hints: sink.hints,
      scratchTypes,
      scratchOrdinals,
      gprRead: mask(sink.read),
      gprWritten: mask(sink.written),
      writesReg: sink.written.has(locals.reg),
      writesRm: sink.written.has(locals.rm),
      readsReg: sink.read.has(locals.reg),
      readsRm: sink.read.has(locals.rm),
      readsIndex: sink.read.has(locals.index),
      access: c.onlyAccess,
      calls: sink.calls,
      stopsSoon: c.stopsSoon,
      stackMove: c.stackMove,
      exits: c.exits,
      jumps: c.jumps,
      exitsBehind: c.exitsBehind,
      exitsLate: c.exitsLate,
      readsFlags: c.readsFlags,
      keepsFlags: c.keepsFlags,
      writesFlags: c.writesFlags,
      flagsAfter: c.flagsAfter,
    };
  }
}

/** Collects the holes of a template. */
class Holes implements HoleSink {
  readonly localsAt: number[] = [];
  readonly holes: number[] = [];
  readonly hints: BranchHint[] = [];
  readonly read = new Set<number>();
  readonly written = new Set<number>();
  calls = false;
  readonly #harmless: ReadonlySet<FunctionRef>;

  /** @param harmless routines whose calls are not counted */
  constructor(harmless: ReadonlySet<FunctionRef>) {
    this.#harmless = harmless;
  }

  local(at: number, index: number, isSet: boolean): void {
    if (index > locals.budget) this.localsAt.push(at);
    (isSet ? this.written : this.read).add(index);
  }

  constant(at: number, what: number, type: ValueType): void {
    this.holes.push(at, type === 'i32' ? holeKinds.constant32 : holeKinds.constant64, what);
  }

  offset(at: number, what: number): void {
    this.holes.push(at, holeKinds.offset, what);
  }

  call(target: FunctionRef): void {
    if (!this.#harmless.has(target)) this.calls = true;
  }

  hint(at: number, expectation: Expectation): void {
    this.hints.push({ at, expectation });
  }

  label(at: number, what: number, inside: number): void {
    const kind =
      what === labels.exit
        ? holeKinds.exitLabel
        : what === labels.jump
          ? holeKinds.jumpLabel
          : holeKinds.takenLabel;
    this.holes.push(at, kind, inside);
  }
}
