/**
 * What the general registers hold, compared with what they held before: contents of one origin differ by their distances. By this it is
 * known which addresses differ by constants.
 */
import * as codepage from '../codepage.ts';
import * as layout from '../layout.ts';
import type { RegionInstruction } from './region.ts';
import type { MemoryAccess, Template } from './template.ts';
import type { RecordViews } from './templates.ts';

/** Number of the stack pointer. */
const rsp = 4;
const registers = 16;

/** See the top of this file. What is known at several places is in rows, which are used again for other regions. */
export class Contents {
  readonly #views: RecordViews;
  /** By row and register. */
  #origins = new Int32Array(0);
  #distances = new Float64Array(0);
  /** By row: how many origins there have been. */
  #counts = new Int32Array(0);
  /**
   * What {@link address} found: addresses can be compared whose `base` and `index` are the same, and differ as `at` does. The one is an
   * origin, or negative for a page; the other an origin with its scale, or -1.
   */
  base = 0;
  index = 0;
  at = 0;

  constructor(views: RecordViews) {
    this.#views = views;
  }

  /** Makes room for so many rows; nothing is kept. */
  reserve(rows: number): void {
    if (rows <= this.#counts.length) return;
    this.#origins = new Int32Array(2 * rows * registers);
    this.#distances = new Float64Array(2 * rows * registers);
    this.#counts = new Int32Array(2 * rows);
  }

  /** Nothing is known there. */
  clear(row: number): void {
    const start = row * registers;
    for (let number = 0; number < registers; number++) this.#origins[start + number] = number;
    this.#distances.fill(0, start, start + registers);
    this.#counts[row] = registers;
  }

  /** What is known in one row is in another as well. */
  copy(from: number, to: number): void {
    const start = from * registers;
    this.#origins.copyWithin(to * registers, start, start + registers);
    this.#distances.copyWithin(to * registers, start, start + registers);
    this.#counts[to] = this.#counts[from]!;
  }

  /** Finds where an instruction's access goes: see {@link base}. False when it cannot be compared. */
  address(
    row: number,
    { record, of, rm, index }: RegionInstruction,
    access: MemoryAccess,
    part: number,
  ): boolean {
    const origins = this.#origins;
    const distances = this.#distances;
    const start = row * registers;
    this.index = -1;
    if (access.at === 'stack') {
      this.base = origins[start + rsp]!;
      this.at = distances[start + rsp]! + access.distance;
      return true;
    }
    const { i32, u16, u8 } = this.#views;
    if (of.form.slides.displacement !== 0) return false;
    const place = u16[(record + codepage.rm) >> 1]!;
    if (place === layout.zero) return false;
    this.at = i32[(record + codepage.displacement) >> 2]!;
    if (place === layout.pageBase) this.base = -1 - part;
    else {
      this.base = origins[start + rm]!;
      this.at += distances[start + rm]!;
    }
    if (u16[(record + codepage.index) >> 1] !== layout.zero) {
      const scale = u8[record + codepage.addressFlags]! & codepage.scaleMask;
      this.index = origins[start + index]! * (codepage.scaleMask + 1) + scale;
      this.at += distances[start + index]! * 2 ** scale;
    }
    return true;
  }

  /** Goes on behind an instruction. */
  step(row: number, instruction: RegionInstruction, template: Template): void {
    const { of, reg, rm } = instruction;
    const { writesReg, writesRm, stackMove } = template;
    const origins = this.#origins;
    const distances = this.#distances;
    const start = row * registers;
    let written = template.gprWritten;
    if (writesReg) written |= 1 << reg;
    if (writesRm) written |= 1 << rm;
    if (written === 0) return;
    // A register that is set to what another holds, or held itself, but for a constant.
    let from = -1;
    let by = 0;
    switch (of.setsBy) {
      case 'copy':
        from = writesReg ? rm : reg;
        break;
      case 'address':
        if (this.#isSum(instruction)) {
          from = rm;
          by = this.#views.i32[(instruction.record + codepage.displacement) >> 2]!;
        }
        break;
      case 'sum':
        from = rm;
        by = this.#views.i32[(instruction.record + codepage.immediate) >> 2]!;
        break;
      case 'difference':
        from = rm;
        by = -this.#views.i32[(instruction.record + codepage.immediate) >> 2]!;
    }
    let origin = 0;
    let distance = 0;
    if (from >= 0) {
      origin = origins[start + from]!;
      distance = distances[start + from]! + by;
    }
    const stack = origins[start + rsp]!;
    const depth = distances[start + rsp]!;
    let count = this.#counts[row]!;
    for (let number = 0; written >> number !== 0; number++) {
      if (((written >> number) & 1) === 0) continue;
      origins[start + number] = count++;
      distances[start + number] = 0;
    }
    this.#counts[row] = count;
    const onlyMoves = !(writesReg && reg === rsp) && !(writesRm && rm === rsp);
    if (onlyMoves && stackMove !== undefined) {
      origins[start + rsp] = stack;
      distances[start + rsp] = depth + stackMove;
    }
    if (from >= 0) {
      const to = writesReg ? reg : rm;
      origins[start + to] = origin;
      distances[start + to] = distance;
    }
  }

  /** Whether an address is a register and a constant. */
  #isSum({ record }: RegionInstruction): boolean {
    const { u16 } = this.#views;
    const place = u16[(record + codepage.rm) >> 1]!;
    return (
      place !== layout.zero &&
      place !== layout.pageBase &&
      u16[(record + codepage.index) >> 1] === layout.zero
    );
  }
}
