/** Types of functions in a short notation. */
import type { FunctionType } from '../../wasm/function.ts';
import type { ValueType } from '../../wasm/opcodes.ts';

/** The type of a function by the names of its parameters' and results' types: `signature('i32 i64', 'i32')`. */
export function signature(parameters: string, results = ''): FunctionType {
  const list = (names: string) => (names === '' ? [] : (names.split(' ') as ValueType[]));
  return { parameters: list(parameters), results: list(results) };
}
