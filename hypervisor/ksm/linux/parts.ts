/** What the scanner's routines share while their module is built. */
import type { FunctionBuilder, FunctionRef, Label } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import type { Operand, Value } from '../../wasm/value.ts';
import { type ControlName, control } from './layout.ts';
import type { TreeRoutines } from './tree.ts';

/** Access to the fields that there is one of; their address is known when the module is built. */
export class Control {
  readonly #address: number;

  constructor(address: number) {
    this.#address = address;
  }

  /** Address of a field, for a tree's root. */
  addressOf(name: ControlName): number {
    return this.#address + control[name].offset;
  }

  get(fn: FunctionBuilder, name: ControlName): Value {
    return fn.load(control[name].load, fn.i32(this.#address), control[name].offset);
  }

  set(fn: FunctionBuilder, name: ControlName, value: Operand): void {
    fn.store(control[name].store, fn.i32(this.#address), value, control[name].offset);
  }

  /** Adds to a counter. */
  add(fn: FunctionBuilder, name: ControlName, difference: Operand): void {
    this.set(fn, name, this.get(fn, name).add(difference));
  }

  /** Takes a cost from the time that is left. */
  charge(fn: FunctionBuilder, cost: ControlName): void {
    this.set(fn, 'timeLeft', this.get(fn, 'timeLeft').sub(this.get(fn, cost)));
  }

  /** Virtual time now, in ns. */
  now(fn: FunctionBuilder): Value {
    return this.get(fn, 'deadline').sub(this.get(fn, 'timeLeft'));
  }
}

/** What a page's routines ask of JavaScript; rare, so that the calls do not count. */
export interface Imports {
  /** `nodeOf(frame)`: the node of a ksm frame, 0 for any other frame. */
  readonly nodeOf: FunctionRef;
  /** `merge(item, other, number)`: makes the item's frame a ksm frame and maps it for the other too; 0 when one may not be merged. */
  readonly merge: FunctionRef;
  /** `replace(item, frame)`: maps a shared frame for the item; 0 when it may not be merged. */
  readonly replace: FunctionRef;
  /** Makes more nodes and puts them into the list of those not in use. */
  readonly moreNodes: FunctionRef;
}

/** See the top of this file. */
export interface Parts {
  readonly module: ModuleBuilder;
  readonly control: Control;
  readonly imports: Imports;
  readonly compare: FunctionRef;
  readonly hash: FunctionRef;
  readonly tree: TreeRoutines;
}

/** Does `body` while it does not branch to the label `end`. */
export function forever(fn: FunctionBuilder, body: (end: Label, again: Label) => void): void {
  fn.block((end) =>
    fn.loop((again) => {
      body(end, again);
      again.br();
    }),
  );
}
