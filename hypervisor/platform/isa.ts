/** Devices with eight data lines, as on the ISA bus. */
import type { AccessExit, AccessSize, PortDevice } from './bus.ts';

/** A device that knows only accesses of one byte. `port` is the absolute port number; values are 0 … 255. */
export interface ByteDevice {
  readByte(port: number): number;
  writeByte(port: number, value: number): void;
  /** As {@link PortDevice} has it. */
  readonly exit?: AccessExit;
}

/** Puts `device` on the bus: a wider access reaches it as one for each byte, the lowest port first. */
export function eightBit(device: ByteDevice): PortDevice {
  return {
    exit: device.exit,
    readPort(port: number, size: AccessSize): number {
      let value = 0;
      let weight = 1;
      for (let i = 0; i < size; i++) {
        value += device.readByte(port + i) * weight;
        weight *= 256;
      }
      return value;
    },
    writePort(port: number, size: AccessSize, value: number): void {
      for (let i = 0; i < size; i++) device.writeByte(port + i, (value >>> (8 * i)) & 0xff);
    },
  };
}
