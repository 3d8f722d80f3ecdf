/**
 * The form of a decoded instruction: all that is fixed about it but its registers, immediates and place. The
 * interpreter has one handler a form; the translator knows the rest as well.
 */
import type { OperandSpec, Row } from './isa/instruction.ts';

/** Repeat prefix in force. */
export type Repeat = 'none' | 'repe' | 'repne';

/** What is static about an instruction; see the top of this file. */
export interface Form {
  readonly row: Row;
  /** Operand size in bytes: 2, 4 or 8 (1 is an operand's own affair). */
  readonly size: 2 | 4 | 8;
  /** Address size in bytes. */
  readonly addressSize: 2 | 4 | 8;
  readonly code64: boolean;
  /** True when ModRM.rm (or an absolute offset) is memory. */
  readonly memory: boolean;
  readonly repeat: Repeat;
  /** True with REX.W. */
  readonly w: boolean;
  /** Whether displacement and immediate are kept without the guest's slide: 1 when it is added to them, −1 when subtracted. */
  readonly slides: Slides;
}

/** See {@link Form.slides}. */
export interface Slides {
  readonly displacement: Slide;
  readonly immediate: Slide;
}
/** By how many times the guest's slide a constant moves. */
export type Slide = -1 | 0 | 1;

/** The slides of nearly all instructions. */
export const noSlides: Slides = { displacement: 0, immediate: 0 };

/** Numbers of forms without slides are below this. */
const slidingUnit = 2 ** 22;

/** The number of the form of the same instruction with constants that slide. */
export function slidingNumber(number: number, slides: Slides): number {
  return number + slidingUnit * (3 * (slides.displacement + 1) + slides.immediate + 2);
}

/** Size in bytes of an operand of the given form; 0 when its size has no meaning here (a bare memory operand). */
export function operandSize(spec: OperandSpec, form: Form): number {
  if (spec.kind === 'I' && (spec.size === 'z' || spec.size === 'bv')) return form.size;
  switch (spec.size) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
    case 'ss':
      return 4;
    case 'q':
    case 'sd':
      return 8;
    case 'v':
      return form.size;
    case 'z':
      return form.size === 2 ? 2 : 4;
    case 'y':
      return form.w ? 8 : 4;
    case 'n':
      // Control and debug registers: the mode's natural width.
      return form.code64 ? 8 : 4;
    case 'dq':
    case 'ps':
    case 'pd':
    case 'x':
      return 16;
    case 'const':
      return form.size;
    default:
      return 0;
  }
}

/** A number that is the same for equal forms only; `row` is the row's number among all. */
export function formNumber(
  row: number,
  size: Form['size'],
  addressSize: Form['addressSize'],
  code64: boolean,
  memory: boolean,
  repeat: Repeat,
  w: boolean,
): number {
  // Sizes 2, 4, 8 in two bits each, repeat in two, and three yes or no.
  const sizes = (size >> 2) | ((addressSize >> 2) << 2);
  const repeats = repeat === 'none' ? 0 : repeat === 'repe' ? 1 : 2;
  return (
    (((row << 4) | sizes) << 5) | (repeats << 3) | (Number(code64) << 2) | (Number(memory) << 1) | Number(w)
  );
}
