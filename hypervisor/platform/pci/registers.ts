/**
 * A device's own registers as a BAR shows them: read and written by their offset from the BAR's base. The
 * same registers answer on I/O ports, in memory, or through a window in configuration space.
 */
import { StateError, type StateReader } from '../../state/state.ts';
import type { AccessExit, AccessSize } from '../bus.ts';

/** Registers behind one base address register. Values are unsigned, `offset` is within the BAR. */
export interface RegisterBlock {
  readRegister(offset: number, size: AccessSize): number;
  writeRegister(offset: number, size: AccessSize, value: number): void;
  /** How an access is served where the registers are in memory; by user space where it is left out. */
  exitAt?(offset: number, write: boolean): AccessExit;
}

/** All ones in `size` bytes: what a read gives that nobody answers. */
export function allOnes(size: AccessSize): number {
  return size === 4 ? 0xffffffff : size === 2 ? 0xffff : 0xff;
}

/** `size` bytes of `bytes` at `offset`, little-endian and unsigned. The caller keeps the range within `bytes`. */
export function readLittleEndian(bytes: Uint8Array, offset: number, size: AccessSize): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = ((value << 8) | bytes[offset + i]!) >>> 0;
  return value;
}

/** Puts `value` into `size` bytes of `bytes` at `offset`, little-endian. */
export function writeLittleEndian(bytes: Uint8Array, offset: number, size: AccessSize, value: number): void {
  for (let i = 0; i < size; i++) bytes[offset + i] = value >>> (8 * i);
}

/** Reads saved bytes into `target`. Throws StateError when they are not as many. */
export function loadBytes(from: StateReader, target: Uint8Array): void {
  const bytes = from.bytes();
  if (bytes.length !== target.length) {
    throw new StateError(`saved state has ${bytes.length} bytes where ${target.length} were expected`);
  }
  target.set(bytes);
}
