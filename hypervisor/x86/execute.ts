/** Emits one instruction: fetches its operands, lets its meaning compute, writes the results back. */
import type { LoadName } from '../wasm/opcodes.ts';
import type { Value } from '../wasm/value.ts';
import { operandSize } from './form.ts';
import type { OperandSpec, Row } from './isa/instruction.ts';
import * as layout from './layout.ts';
import { type Address, loadName, type RegisterPlace, type Semantics } from './semantics.ts';

/** True when an operand can be memory, by its letter. */
function isMemory(c: Semantics, spec: OperandSpec): boolean {
  if (spec.kind === 'O') return true;
  return c.form.memory && (spec.kind === 'E' || spec.kind === 'M' || spec.kind === 'W' || spec.kind === 'Q');
}

/** The address of a memory operand. Those of 16 bytes are aligned, with few exceptions (SDM vol. 2, 2.4, exception types 1 and 4). */
function operandAddress(c: Semantics, size: number): Address {
  const address = c.memoryAddress();
  return size === 16 && c.form.row.options.unaligned !== true ? { ...address, aligned: true } : address;
}

const xmmKinds = new Set(['V', 'W', 'U']);
const mmxKinds = new Set(['P', 'Q', 'N']);

/** Which registers beyond the general ones a row works on: what its operands are, or what it says itself. */
function registersOf({ operands, options }: Row): { xmm: boolean; mmx: boolean } {
  const uses = (kinds: ReadonlySet<string>) => operands.some(({ kind }) => kinds.has(kind));
  return { xmm: options.sse === true || uses(xmmKinds), mmx: uses(mmxKinds) };
}

function registerPlace(c: Semantics, spec: OperandSpec): RegisterPlace | undefined {
  switch (spec.kind) {
    case 'G':
    case 'Z':
    case 'V':
    case 'P':
      return c.regPlace();
    case 'E':
    case 'R':
    case 'W':
    case 'U':
    case 'Q':
    case 'N':
      return c.rmPlace();
    case 'fixed':
      return spec.size === 'const' ? undefined : layout.gprOffset(spec.value);
    default:
      return undefined;
  }
}

/** The load of an operand: scalar floating-point ones come as such. */
function loadOf(spec: OperandSpec, size: number): LoadName {
  return spec.size === 'ss' ? 'f32' : spec.size === 'sd' ? 'f64' : loadName(size);
}

/** Reads an operand that is not memory. */
function readPlain(c: Semantics, spec: OperandSpec, size: number): Value {
  if (spec.kind === 'I') return c.immediateValue(size);
  if (spec.kind === 'S' || spec.kind === 'C' || spec.kind === 'D' || spec.kind === 'T') return c.regNumber();
  if (spec.kind === 'fixed' && spec.size === 'const') return c.i32(spec.value);
  const place = registerPlace(c, spec);
  if (place === undefined)
    throw new Error(`operand ${spec.kind}${spec.size} of ${c.form.row.name} cannot be read`);
  return xmmKinds.has(spec.kind) || mmxKinds.has(spec.kind)
    ? c.readVector(place, loadOf(spec, size))
    : c.readRegister(place, size);
}

function writePlain(c: Semantics, spec: OperandSpec, place: RegisterPlace, size: number, value: Value): void {
  if (xmmKinds.has(spec.kind)) c.writeXmm(place, size, value);
  else if (mmxKinds.has(spec.kind)) c.writeMmx(place, value);
  else c.writeRegister(place, size, value);
}

/** Emits the whole instruction up to where control goes on; what comes next is the caller's. */
export function emitInstruction(c: Semantics): void {
  const { operands, meaning } = c.form.row;
  const { xmm, mmx } = registersOf(c.form.row);
  if (xmm) c.requireSse();
  if (mmx) c.requireMmx();
  const inputs: Value[] = [];
  const outputs: ((value: Value) => void)[] = [];
  operands.forEach((spec, i) => {
    const access = meaning.access[i]!;
    if (access === 'a') return;
    const size = operandSize(spec, c.form);
    if (isMemory(c, spec)) {
      const address = operandAddress(c, size);
      if (access === 'r') inputs.push(c.load(address, size, loadOf(spec, size)));
      else if (access === 'w') outputs.push((value) => c.store(address, size, value));
      else {
        const target = c.probe(address, size, 'rw');
        inputs.push(c.loadAt(target, size));
        outputs.push((value) => c.storeAt(target, size, value));
      }
      return;
    }
    if (access !== 'w') inputs.push(readPlain(c, spec, size));
    if (access !== 'r') {
      const place = registerPlace(c, spec);
      if (place === undefined)
        throw new Error(`operand ${spec.kind}${spec.size} of ${c.form.row.name} cannot be written`);
      outputs.push((value) => writePlain(c, spec, place, size, value));
    }
  });
  // The change to MMX stays when the meaning raises #XM; a store that faults leaves only part of it, as on processors.
  const storesMmx = mmx && operands.some((spec, i) => meaning.access[i] !== 'r' && isMemory(c, spec));
  if (storesMmx) c.clearTop();
  else if (mmx) c.enterMmx();
  const returned = meaning.run(c, ...inputs);
  const results =
    returned === undefined
      ? []
      : Array.isArray(returned)
        ? (returned as readonly Value[])
        : [returned as Value];
  if (results.length !== outputs.length) {
    throw new Error(`${c.form.row.name}: ${results.length} results for ${outputs.length} operands to write`);
  }
  // The first operand last: where two name the same register, the manual writes the destination last (XADD).
  for (let i = results.length - 1; i >= 0; i--) outputs[i]!(results[i]!);
  if (storesMmx) c.enterMmx();
}
