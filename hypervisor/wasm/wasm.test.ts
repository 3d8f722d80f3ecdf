import test from 'ava';
import type { FunctionBuilder, FunctionType } from './function.ts';
import { ModuleBuilder } from './module.ts';

type Fn = (...values: (number | bigint)[]) => number | bigint;

function compile(type: FunctionType, build: (fn: FunctionBuilder) => void): { run: Fn; memory: DataView } {
  const module = new ModuleBuilder();
  module.importMemory('host', 'memory', 1, 1);
  const fn = module.define('f', type, build);
  module.export('f', fn);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { host: { memory } });
  return { run: instance.exports.f as Fn, memory: new DataView(memory.buffer) };
}

const i32 = 'i32' as const;
const i64 = 'i64' as const;

test('arithmetic, constants and conversions', (t) => {
  const { run } = compile({ parameters: [i32, i64], results: [i64] }, (fn) => {
    const a = fn.parameter(0).get();
    const b = fn.parameter(1).get();
    fn.return(a.add(5).extendS().mul(b).sub(0x1_0000_0000n));
  });
  t.is(run(-7, 3n), -6n - 0x1_0000_0000n);
});

test('constants fold and neutral operands vanish', (t) => {
  compile({ parameters: [i64], results: [i64] }, (fn) => {
    const a = fn.parameter(0).get();
    t.is(fn.i32(7).mul(6).number, 42);
    t.is(fn.i64(-1n).shrU(4).constant, 0x0fff_ffff_ffff_ffffn);
    t.is(a.add(0), a);
    t.is(a.and(-1), a);
    t.true(a.mul(0).is(0));
    t.is(fn.i64(0x1_8000_0000n).wrap().number, -0x8000_0000);
    t.is(fn.i32(-1).extendU().constant, 0xffff_ffffn);
    t.is(fn.i32(1).rotr(1).number, -0x8000_0000);
    fn.return(a);
  });
});

test('vector constants fold, and a swizzle by a known permutation becomes a shuffle', (t) => {
  const bytes = Array.from({ length: 16 }, (_, i) => i);
  const { run, memory } = compile({ parameters: [], results: [i32] }, (fn) => {
    const numbers = fn.v128(bytes);
    const list = (value: { list: readonly number[] | undefined }) => value.list;
    const three = fn.i32(0x0303).apply('i16x8.splat');
    t.deepEqual(list(three), new Array(16).fill(3));
    t.deepEqual(list(fn.i64(-2).apply('i64x2.splat')), [
      254,
      ...new Array(7).fill(255),
      254,
      ...new Array(7).fill(255),
    ]);
    t.deepEqual(
      list(numbers.apply('i8x16.add_sat_u', fn.i32(250).apply('i8x16.splat'))),
      bytes.map((i) => Math.min(250 + i, 255)),
    );
    t.deepEqual(
      list(numbers.apply('i8x16.sub', three)),
      bytes.map((i) => (i - 3) & 255),
    );
    t.deepEqual(list(numbers.apply('i16x8.eq', numbers.withLane('i16x8.replace_lane', 7, 5))), [
      ...new Array(14).fill(255),
      0,
      0,
    ]);
    t.deepEqual(
      list(numbers.apply('v128.and', three)),
      bytes.map((i) => i & 3),
    );
    const reversed = fn.load('v128', fn.i32(0)).apply('i8x16.swizzle', fn.v128(bytes.toReversed()));
    t.is((reversed.op as { name: string }).name, 'i8x16.shuffle');
    fn.return(reversed.lane('i8x16.extract_lane_u', 1));
  });
  memory.setUint8(14, 77);
  t.is(run(), 77);
});

test('a value read before its variable is set keeps the old value', (t) => {
  const { run } = compile({ parameters: [i32, i32], results: [i32] }, (fn) => {
    const [x, y] = [fn.parameter(0), fn.parameter(1)];
    const a = x.get();
    const b = y.get();
    x.set(b);
    y.set(a);
    fn.return(x.get().mul(100).add(y.get()));
  });
  t.is(run(3, 4), 403);
});

test('a load before a store keeps the old contents', (t) => {
  const { run, memory } = compile({ parameters: [], results: [i32] }, (fn) => {
    const at = fn.i32(16);
    const a = fn.load('i32', at);
    const b = fn.load('i32', at, 4);
    fn.store('i32', at, b);
    fn.store('i32', at, a, 4);
    fn.return(
      fn
        .load('i32', at)
        .mul(100)
        .add(fn.load('i32', at, 4)),
    );
  });
  memory.setInt32(16, 3, true);
  memory.setInt32(20, 4, true);
  t.is(run(), 403);
});

test('loops, branches and nested conditions', (t) => {
  const { run } = compile({ parameters: [i32], results: [i32] }, (fn) => {
    const n = fn.parameter(0);
    const sum = fn.local(i32);
    fn.block((end) => {
      fn.loop((again) => {
        end.brIf(n.get().eqz());
        fn.if(
          n.get().and(1),
          () => sum.set(sum.get().add(n.get())),
          () => sum.set(sum.get().sub(1)),
        );
        n.set(n.get().sub(1));
        again.br();
      });
    });
    fn.return(sum.get());
  });
  t.is(run(10), 25 - 5);
});

test('a value computed outside a loop survives its turns', (t) => {
  const { run } = compile({ parameters: [i32], results: [i32] }, (fn) => {
    const n = fn.parameter(0);
    const square = n.get().mul(n.get());
    const sum = fn.local(i32);
    fn.loop((again) => {
      const inside = sum.get().add(square);
      sum.set(inside.add(inside.shrU(8)));
      n.set(n.get().sub(1));
      again.brIf(n.get());
    });
    fn.return(sum.get());
  });
  t.is(run(3), 27);
});

test('switch takes the case, or the fallback', (t) => {
  const { run } = compile({ parameters: [i32], results: [i32] }, (fn) => {
    const result = fn.local(i32);
    fn.switch(fn.parameter(0).get(), [() => result.set(10), undefined, () => result.set(12)], () =>
      result.set(99),
    );
    fn.return(result.get());
  });
  t.deepEqual(
    [0, 1, 2, 3, -1].map((n) => run(n)),
    [10, 99, 12, 99, 99],
  );
});

test('calls with several results, tail calls and table calls', (t) => {
  const module = new ModuleBuilder();
  module.importMemory('host', 'memory', 1, 1);
  const pair: FunctionType = { parameters: [i32], results: [i32, i64] };
  const unary: FunctionType = { parameters: [i32], results: [i32] };
  const same = module.define('same', unary, (fn) => fn.return(fn.parameter(0).get()));
  module.table('table', unary, 4, same);
  const split = module.define('split', pair, (fn) => {
    const x = fn.parameter(0).get();
    fn.return(x.and(0xff), x.shrU(8).extendU());
  });
  const add = module.define('add', unary, (fn) => {
    const [low, high] = fn.callAll(split, fn.parameter(0).get());
    fn.return(low!.add(high!.wrap()));
  });
  const viaTable = module.define('viaTable', unary, (fn) => {
    fn.returnCallIndirect(unary, fn.i32(3), fn.parameter(0).get());
  });
  module.tableEntries(3, [add]);
  module.export('viaTable', viaTable);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { host: { memory } });
  t.is((instance.exports.viaTable as Fn)(0x1234), 0x12 + 0x34);
});

test('a builder makes several modules, which import the same and what came in between', (t) => {
  const type: FunctionType = { parameters: [], results: [i32] };
  const exported = (module: ModuleBuilder, names: readonly string[]) => {
    const imports = names.map((name) => module.importFunction('host', name, type));
    return (name: string) => {
      module.export(
        name,
        module.define(name, type, (fn) => {
          let sum = fn.i32(1);
          for (const each of imports) sum = sum.add(fn.call(each));
          fn.return(sum);
        }),
      );
      return module.finish();
    };
  };
  const module = new ModuleBuilder();
  const one = exported(module, ['a']);
  t.deepEqual(one('first'), exported(new ModuleBuilder(), ['a'])('first'));
  module.clear();
  t.deepEqual(one('second'), exported(new ModuleBuilder(), ['a'])('second'));
  module.clear();
  exported(module, ['b']);
  const bytes = one('third');
  t.deepEqual(
    WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(({ name }) => name),
    ['a', 'b'],
  );
  t.deepEqual(
    WebAssembly.Module.exports(new WebAssembly.Module(bytes)).map(({ name }) => name),
    ['third'],
  );
});

test('vectors: constants, lanes, shuffles', (t) => {
  const { run } = compile({ parameters: [i32], results: [i32] }, (fn) => {
    const bytes = Array.from({ length: 16 }, (_, i) => i);
    const v = fn.v128(bytes).apply('i8x16.add', fn.parameter(0).get().apply('i8x16.splat'));
    const reversed = fn.shuffle(v, v, [...bytes].reverse());
    fn.return(reversed.lane('i32x4.extract_lane', 0));
  });
  t.is(run(1), 0x0d0e0f10);
});

test('the section of branch hints names the branches that have one', (t) => {
  const module = new ModuleBuilder();
  module.importFunction('host', 'other', { parameters: [], results: [] });
  module.define('unhinted', { parameters: [], results: [] }, (fn) => fn.return());
  const hinted = module.define('hinted', { parameters: [i32], results: [i64] }, (fn) => {
    const a = fn.parameter(0).get();
    const sum = fn.local('i64', 1n);
    fn.if(a.ltS(5), () => sum.set(2n), undefined, 'likely');
    fn.if(a.eq(7), () => sum.set(3n));
    fn.block((end) => {
      fn.rarely(a.eq(6), () => end.br());
      sum.set(4n);
    });
    fn.return(sum.get());
  });
  const bytes = module.finish();
  const [section] = WebAssembly.Module.customSections(
    new WebAssembly.Module(bytes),
    'metadata.code.branch_hint',
  );
  const [functions, index, count, first, , likely, second, , unlikely] = new Uint8Array(section!);
  t.deepEqual([functions, index, count, likely, unlikely], [1, hinted.index, 2, 1, 0]);
  // The code section is the one with id 10; the sizes in it are below 128.
  let at = 8;
  while (bytes[at] !== 10) {
    let size = 0;
    let shift = 0;
    let byte: number;
    do {
      byte = bytes[++at]!;
      size |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= 0x80);
    at += 1 + size;
  }
  const body = at + 3 + 1 + bytes[at + 3]! + 1;
  const ifCode = 0x04;
  const brIfCode = 0x0d;
  t.deepEqual([bytes[body + first!], bytes[body + second!]], [ifCode, brIfCode]);
});
