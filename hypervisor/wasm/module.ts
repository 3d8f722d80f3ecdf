/** A WebAssembly module under construction: imports, functions, exports, table entries (spec 3.0, chapter 5.5 "Modules"). */
import { ByteBuffer } from './bytes.ts';
import { emitFunction, type FunctionBody } from './emit.ts';
import { FunctionBuilder, type FunctionRef, type FunctionType } from './function.ts';
import { valueTypeCode } from './opcodes.ts';

interface Import {
  readonly module: string;
  readonly name: string;
  readonly write: (out: ByteBuffer) => void;
}

/** A function defined in a module. Its number is known when all imports are, since those come first. */
class DefinedFunction implements FunctionRef {
  readonly #imports: () => number;
  readonly #number: number;
  readonly type: FunctionType;

  constructor(imports: () => number, number: number, type: FunctionType) {
    this.#imports = imports;
    this.#number = number;
    this.type = type;
  }

  get index(): number {
    return this.#imports() + this.#number;
  }
}

/** What types are the same: most are given again and again, to many modules. */
const typeKeys = new WeakMap<FunctionType, string>();

/** What {@link ModuleBuilder.finish} writes into: one module is finished at a time. */
const whole = new ByteBuffer(65536);
const contents = new ByteBuffer(65536);
/** For what stands in a section as a part that has a length. */
const part = new ByteBuffer(1024);

/** Writes a section with `count` entries, when there are any. */
function section(out: ByteBuffer, id: number, count: number, write: (to: ByteBuffer) => void): void {
  if (count === 0) return;
  contents.clear();
  contents.unsigned(count);
  write(contents);
  out.byte(id);
  out.sized(contents);
}

/** The type of references to functions of a type, which are never null. */
function writeReferenceType(out: ByteBuffer, type: number): void {
  out.byte(0x64);
  out.signed(type);
}

function writeTableType(out: ByteBuffer, type: number, entries: number): void {
  writeReferenceType(out, type);
  out.byte(0x01);
  out.unsigned(entries);
  out.unsigned(entries);
}

/** The constant expression that gives a reference to a function. */
function writeReference(out: ByteBuffer, fn: FunctionRef): void {
  out.byte(0xd2);
  out.unsigned(fn.index);
  out.byte(0x0b);
}

/**
 * Builds a module; or several, one after the other, which import the same: what is defined is forgotten in between by
 * {@link clear}.
 */
export class ModuleBuilder {
  readonly #types: FunctionType[] = [];
  readonly #typeNumbers = new Map<string, number>();
  readonly #imports: Import[] = [];
  #importedFunctions = 0;
  #functions: { type: number; name: string; body: () => FunctionBody }[] = [];
  #exports: { name: string; fn: FunctionRef }[] = [];
  #table: { name: string; type: number; entries: number; initial: FunctionRef } | undefined;
  #tableType = 0;
  #elements: { offset: number; functions: readonly FunctionRef[] }[] = [];
  #data: { offset: number; bytes: Uint8Array }[] = [];

  /** The start of the module as it was written last, and for how many types and imports. */
  readonly #head = new ByteBuffer(1024);
  #headTypes = 0;
  #headImports = 0;

  /** Number of a function type, adding it when it is new. */
  typeIndex(type: FunctionType): number {
    let key = typeKeys.get(type);
    if (key === undefined) {
      key = `${type.parameters.join()}>${type.results.join()}`;
      typeKeys.set(type, key);
    }
    let index = this.#typeNumbers.get(key);
    if (index === undefined) {
      index = this.#types.length;
      this.#types.push(type);
      this.#typeNumbers.set(key, index);
    }
    return index;
  }

  /** Imports the memory: shared, of `pages` to `maximum` pages of 64 KiB. */
  importMemory(module: string, name: string, pages: number, maximum: number): void {
    const write = (out: ByteBuffer) => {
      out.byte(0x02);
      out.byte(0x03);
      out.unsigned(pages);
      out.unsigned(maximum);
    };
    this.#imports.push({ module, name, write });
  }

  /** Imports table 0, as {@link table} defines it. */
  importTable(module: string, name: string, type: FunctionType, entries: number): void {
    this.#tableType = this.typeIndex(type);
    const write = (out: ByteBuffer) => {
      out.byte(0x01);
      writeTableType(out, this.#tableType, entries);
    };
    this.#imports.push({ module, name, write });
  }

  /**
   * Defines and exports table 0. It has `entries` functions, never more, which are all of one type; at first all are `initial`. As none
   * can be missing or of another type, calls through it check the entry's number alone.
   */
  table(name: string, type: FunctionType, entries: number, initial: FunctionRef): void {
    this.#tableType = this.typeIndex(type);
    this.#table = { name, type: this.#tableType, entries, initial };
  }

  /** Imports a function; functions may have been defined before, since they are numbered when the module is finished. */
  importFunction(module: string, name: string, type: FunctionType): FunctionRef {
    const number = this.typeIndex(type);
    const write = (out: ByteBuffer) => {
      out.byte(0x00);
      out.unsigned(number);
    };
    this.#imports.push({ module, name, write });
    return { index: this.#importedFunctions++, type };
  }

  /** Starts a function, to be built through the result's `builder` now or later. */
  declare(name: string, type: FunctionType): FunctionRef & { readonly builder: FunctionBuilder } {
    const builder = new FunctionBuilder(name, type, (each) => this.typeIndex(each));
    this.#functions.push({ type: this.typeIndex(type), name, body: () => emitFunction(builder) });
    return Object.assign(this.#defined(type), { builder });
  }

  /** The function that was added last. */
  #defined(type: FunctionType): FunctionRef {
    return new DefinedFunction(() => this.#importedFunctions, this.#functions.length - 1, type);
  }

  /** Defines a function by its code. */
  defineBody(name: string, type: FunctionType, body: FunctionBody): FunctionRef {
    this.#functions.push({ type: this.typeIndex(type), name, body: () => body });
    return this.#defined(type);
  }

  /** Defines a function; `build` writes its body. */
  define(name: string, type: FunctionType, build: (fn: FunctionBuilder) => void): FunctionRef {
    const declared = this.declare(name, type);
    build(declared.builder);
    return declared;
  }

  export(name: string, fn: FunctionRef): void {
    this.#exports.push({ name, fn });
  }

  /** Puts functions into table 0 from entry `offset` on when the module is instantiated. */
  tableEntries(offset: number, functions: readonly FunctionRef[]): void {
    this.#elements.push({ offset, functions });
  }

  /** Puts bytes into memory at `offset` when the module is instantiated. */
  data(offset: number, bytes: Uint8Array): void {
    this.#data.push({ offset, bytes });
  }

  /** Forgets what is defined, but for types and imports, so that another module can be made. */
  clear(): void {
    this.#functions = [];
    this.#table = undefined;
    this.#exports = [];
    this.#elements = [];
    this.#data = [];
  }

  /** What comes before all that is defined: types and imports. */
  #start(): ByteBuffer {
    const head = this.#head;
    const types = this.#types.length;
    const imports = this.#imports.length;
    if (head.length > 0 && types === this.#headTypes && imports === this.#headImports) return head;
    this.#headTypes = types;
    this.#headImports = imports;
    head.clear();
    head.bytes([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    section(head, 1, types, (to) => {
      for (const type of this.#types) {
        to.byte(0x60);
        for (const list of [type.parameters, type.results]) {
          to.unsigned(list.length);
          for (const each of list) to.byte(valueTypeCode[each]);
        }
      }
    });
    section(head, 2, imports, (to) => {
      for (const each of this.#imports) {
        to.name(each.module);
        to.name(each.name);
        each.write(to);
      }
    });
    return head;
  }

  /** The module in the binary format. */
  finish(): Uint8Array<ArrayBuffer> {
    // Bodies first: they may add types.
    const bodies = this.#functions.map(({ body }) => body());
    const out = whole;
    out.clear();
    out.bytes(this.#start().view());
    section(out, 3, this.#functions.length, (to) => {
      for (const { type } of this.#functions) to.unsigned(type);
    });
    const table = this.#table;
    section(out, 4, table === undefined ? 0 : 1, (to) => {
      to.bytes([0x40, 0x00]);
      writeTableType(to, table!.type, table!.entries);
      writeReference(to, table!.initial);
    });
    section(out, 7, this.#exports.length + (table === undefined ? 0 : 1), (to) => {
      if (table !== undefined) {
        to.name(table.name);
        to.bytes([0x01, 0x00]);
      }
      for (const { name, fn } of this.#exports) {
        to.name(name);
        to.byte(0x00);
        to.unsigned(fn.index);
      }
    });
    section(out, 9, this.#elements.length, (to) => {
      for (const { offset, functions } of this.#elements) {
        // Of table 0, with the type of its references.
        to.bytes([0x06, 0x00, 0x41]);
        to.signed(offset);
        to.byte(0x0b);
        writeReferenceType(to, this.#tableType);
        to.unsigned(functions.length);
        for (const fn of functions) writeReference(to, fn);
      }
    });
    this.#branchHints(out, bodies);
    section(out, 10, bodies.length, (to) => {
      for (const { bytes } of bodies) {
        to.unsigned(bytes.length);
        to.bytes(bytes);
      }
    });
    section(out, 11, this.#data.length, (to) => {
      for (const { offset, bytes } of this.#data) {
        to.unsigned(0);
        to.byte(0x41);
        to.signed(offset);
        to.byte(0x0b);
        to.unsigned(bytes.length);
        to.bytes(bytes);
      }
    });
    this.#names(out);
    return new Uint8Array(out.view());
  }

  /** The section of branch hints, which stands before the code: by function, where a branch is and which way it mostly goes. */
  #branchHints(out: ByteBuffer, bodies: readonly FunctionBody[]): void {
    const hinted = bodies.filter(({ hints }) => hints.length > 0).length;
    if (hinted === 0) return;
    contents.clear();
    contents.name('metadata.code.branch_hint');
    contents.unsigned(hinted);
    bodies.forEach(({ hints }, i) => {
      if (hints.length === 0) return;
      contents.unsigned(this.#importedFunctions + i);
      contents.unsigned(hints.length);
      for (const { at, expectation } of hints) {
        contents.unsigned(at);
        contents.byte(1);
        contents.byte(expectation === 'likely' ? 1 : 0);
      }
    });
    out.byte(0);
    out.sized(contents);
  }

  /** The name section (spec 3.0, appendix "Custom Sections"): profilers and traps show what a function is. */
  #names(out: ByteBuffer): void {
    const map = part;
    map.clear();
    map.unsigned(this.#functions.length);
    this.#functions.forEach(({ name }, i) => {
      map.unsigned(this.#importedFunctions + i);
      map.name(name);
    });
    contents.clear();
    contents.name('name');
    contents.byte(1);
    contents.sized(map);
    out.byte(0);
    out.sized(contents);
  }
}
