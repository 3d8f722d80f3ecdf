/**
 * The content hash of a page: 64 bits by multiplication and rotation, made in place by a routine of WebAssembly SIMD-free
 * integer code. It sorts pages (equality is always checked on the bytes), and it tells whether a page came back from swap as it
 * went there: a change within one of its four lanes never goes unnoticed, any other with a chance of 2^-64.
 */
import { ModuleBuilder } from '../wasm/module.ts';
import { type HostMemory, pageSize } from './hostmemory.ts';

/** Content hash of a page of memory at an address: equal pages give equal keys. */
export type PageHash = (address: number) => bigint;

/** Odd constants with well-mixed bits: fractional parts of the golden ratio and of the square roots of 2 and 3. */
const multipliers = [
  0x9e37_79b9_7f4a_7c15n,
  0x6a09_e667_f3bc_c909n,
  0xbb67_ae85_84ca_a73bn,
  0x3c6e_f372_fe94_f82bn,
];

/** Makes the hash function for pages of a memory. */
export function hashPage(memory: HostMemory): PageHash {
  const module = new ModuleBuilder();
  module.importMemory('host', 'memory', memory.wasmPages, memory.wasmPages);
  const hash = module.define('hash', { parameters: ['i32'], results: ['i64'] }, (fn) => {
    const at = fn.parameter(0);
    const end = fn.local('i32', at.get().add(pageSize));
    const lanes = multipliers.map((multiplier) => fn.local('i64', multiplier));
    fn.loop((again) => {
      lanes.forEach((lane, i) => {
        const mixed = lane
          .get()
          .xor(fn.load('i64', at.get(), 8 * i))
          .mul(multipliers[i]!);
        lane.set(mixed.rotl(29));
      });
      at.set(at.get().add(8 * lanes.length));
      again.brIf(at.get().ltU(end.get()));
    });
    const result = fn.local('i64', 0);
    for (const lane of lanes) {
      const mixed = result.get().xor(lane.get()).mul(multipliers[0]!);
      result.set(mixed.xor(mixed.shrU(32)));
    }
    fn.return(result.get());
  });
  module.export('hash', hash);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
    host: { memory: memory.memory },
  });
  return instance.exports.hash as (address: number) => bigint;
}
