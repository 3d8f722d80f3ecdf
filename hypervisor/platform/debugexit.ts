/**
 * A port by which a guest without power management ends the machine and says how it went: a write of a value to
 * it. It is where other emulators have such a device by convention.
 */
import type { AccessSize, PortDevice } from './bus.ts';

/** The first of the four ports. */
export const DEBUG_EXIT_PORT = 0xf4;

/** Makes the device. `onExit` is called inside the guest's write, with the value of 1, 2 or 4 bytes. */
export function debugExit(onExit: (value: number) => void): PortDevice {
  return {
    readPort: (_port: number, _size: AccessSize) => 0,
    writePort: (_port: number, _size: AccessSize, value: number) => onExit(value),
  };
}
