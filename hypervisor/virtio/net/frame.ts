/** Ethernet frames (IEEE 802.3), as far as a network card and a switch look into them. */

/** Destination, source and type: the least that a frame holds. */
export const ETHERNET_HEADER_BYTES = 14;

/** A VLAN tag may come on top of header and payload (IEEE 802.1Q). */
export const VLAN_TAG_BYTES = 4;

/** Bytes of a MAC address. */
export const MAC_BYTES = 6;

const DESTINATION = 0;
const SOURCE = MAC_BYTES;

/** The address that every station receives. */
export const BROADCAST = 2 ** 48 - 1;

/** A MAC address as a number of 48 bits, first byte highest. */
export function macAt(bytes: Uint8Array, offset: number): number {
  let value = 0;
  for (let i = 0; i < MAC_BYTES; i++) value = value * 256 + bytes[offset + i]!;
  return value;
}

/** Where a frame goes. */
export function destination(frame: Uint8Array): number {
  return macAt(frame, DESTINATION);
}

/** Where a frame comes from. */
export function source(frame: Uint8Array): number {
  return macAt(frame, SOURCE);
}

/** True for an address of a group of stations, broadcast among them: the lowest bit of its first byte is set. */
export function isGroup(mac: number): boolean {
  return Math.floor(mac / 2 ** 40) % 2 === 1;
}
