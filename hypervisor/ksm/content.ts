/**
 * What scanners do with contents of pages, in place: compare them, and hash them. Both are routines of WebAssembly,
 * written into the module of whoever needs them.
 */
import { type HostMemory, pageSize } from '../memory/hostmemory.ts';
import type { FunctionBuilder, FunctionRef } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import type { Value } from '../wasm/value.ts';

/** Bytes compared before the first look at the result. */
const stride = 64;
const vectorBytes = 16;

/**
 * `compare(a, b)`: 0 when the pages at two addresses are equal; otherwise below 0 when the first byte that differs is lower in
 * `a`, above 0 when it is higher, as memcmp orders them.
 */
export function defineCompare(module: ModuleBuilder): FunctionRef {
  return module.define('compare', { parameters: ['i32', 'i32'], results: ['i32'] }, (fn) => {
    const a = fn.local('i32', fn.parameter(0).get());
    const b = fn.local('i32', fn.parameter(1).get());
    const end = fn.local('i32', a.get().add(pageSize));
    const vector = (at: Value, offset: number) => fn.load('v128', at, offset);
    const difference = (offset: number) => vector(a.get(), offset).apply('v128.xor', vector(b.get(), offset));
    fn.loop((again) => {
      let any = difference(0);
      for (let at = vectorBytes; at < stride; at += vectorBytes) any = any.apply('v128.or', difference(at));
      fn.if(any.apply('v128.any_true'), () => firstDifference(fn, a.get(), b.get()));
      b.set(b.get().add(stride));
      a.set(a.get().add(stride));
      again.brIf(a.get().ltU(end.get()));
    });
    fn.return(0);
  });
}

/** Returns the order of the first bytes that differ, within the next {@link stride} bytes. */
function firstDifference(fn: FunctionBuilder, a: Value, b: Value): void {
  for (let offset = 0; offset < stride; offset += vectorBytes) {
    const unequal = fn.local(
      'i32',
      fn
        .load('v128', a, offset)
        .apply('i8x16.ne', fn.load('v128', b, offset))
        .apply('i8x16.bitmask'),
    );
    fn.if(unequal.get(), () => {
      const at = unequal.get().ctz();
      fn.return(fn.load('i32_8u', a.add(at), offset).sub(fn.load('i32_8u', b.add(at), offset)));
    });
  }
  fn.unreachable();
}

// The primes of XXH64 (xxHash's specification, "XXH64 algorithm description").
const prime1 = 0x9e37_79b1_85eb_ca87n;
const prime2 = 0xc2b2_ae3d_27d4_eb4fn;
const prime3 = 0x1656_67b1_9e37_79f9n;
const prime4 = 0x85eb_ca77_c2b2_ae63n;

/** `hash(page)`: XXH64 with seed 0 of the page at an address, as i64. */
export function defineHash(module: ModuleBuilder): FunctionRef {
  return module.define('hash', { parameters: ['i32'], results: ['i64'] }, (fn) => {
    const at = fn.local('i32', fn.parameter(0).get());
    const end = fn.local('i32', at.get().add(pageSize));
    const seeds = [prime1 + prime2, prime2, 0n, -prime1];
    const lanes = seeds.map((seed) => fn.local('i64', seed));
    const mixed = (lane: Value, input: Value) => lane.add(input.mul(prime2)).rotl(31).mul(prime1);
    const unroll = 2;
    fn.loop((again) => {
      for (let i = 0; i < unroll * lanes.length; i++) {
        const lane = lanes[i % lanes.length]!;
        lane.set(mixed(lane.get(), fn.load('i64', at.get(), 8 * i)));
      }
      at.set(at.get().add(8 * unroll * lanes.length));
      again.brIf(at.get().ltU(end.get()));
    });
    const [one, two, three, four] = lanes.map((lane) => lane.get()) as [Value, Value, Value, Value];
    const result = fn.local('i64', one.rotl(1).add(two.rotl(7)).add(three.rotl(12)).add(four.rotl(18)));
    for (const lane of lanes) {
      const round = mixed(fn.i64(0), lane.get());
      result.set(result.get().xor(round).mul(prime1).add(prime4));
    }
    result.set(result.get().add(pageSize));
    result.set(result.get().xor(result.get().shrU(33)).mul(prime2));
    result.set(result.get().xor(result.get().shrU(29)).mul(prime3));
    fn.return(result.get().xor(result.get().shrU(32)));
  });
}

/** The routines, for callers in JavaScript. */
export interface Content {
  /** See {@link defineCompare}. */
  compare(a: number, b: number): number;
  /** The low and the high half of a page's XXH64 go to two words at `to`. */
  hash(page: number, to: number): void;
}

/** Makes a module's instance over a host's memory. */
export function instantiate(
  module: ModuleBuilder,
  memory: HostMemory,
  imports: Record<string, (...values: number[]) => number | void> = {},
): WebAssembly.Exports {
  const compiled = new WebAssembly.Module(module.finish());
  return new WebAssembly.Instance(compiled, { host: { memory: memory.memory, ...imports } }).exports;
}

/** Starts a module that works on a host's memory. */
export function startModule(memory: HostMemory): ModuleBuilder {
  const module = new ModuleBuilder();
  module.importMemory('host', 'memory', memory.wasmPages, memory.wasmPages);
  return module;
}

/** Makes the routines for a host's memory. */
export function contentOf(memory: HostMemory): Content {
  const module = startModule(memory);
  module.export('compare', defineCompare(module));
  const hash = defineHash(module);
  const store = module.define('hashTo', { parameters: ['i32', 'i32'], results: [] }, (fn) => {
    fn.store('i64', fn.parameter(1).get(), fn.call(hash, fn.parameter(0).get()));
  });
  module.export('hash', store);
  return instantiate(module, memory) as unknown as Content;
}
