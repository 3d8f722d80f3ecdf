/** The host bridge in slot 0, as the Intel 440FX PMC (82441FX data sheet, section 3.2) shows itself. */
import { PciFunction } from './function.ts';

/** Makes the host bridge; a machine plugs it into slot 0. */
export function hostBridge(): PciFunction {
  return new PciFunction({
    name: 'host bridge',
    identity: {
      vendor: 0x8086,
      device: 0x1237,
      revision: 2,
      classCode: 0x060000,
      subsystemVendor: 0,
      subsystem: 0,
    },
  });
}
