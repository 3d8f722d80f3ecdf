/** Control messages of a console with several ports (Virtual I/O Device 1.3, section 5.3.6.2). */

/** Kinds of message. */
export const DEVICE_READY = 0;
export const DEVICE_ADD = 1;
export const PORT_READY = 3;
export const CONSOLE_PORT = 4;
export const RESIZE = 5;
export const PORT_OPEN = 6;
export const PORT_NAME = 7;

/** Bytes of a message without what some kinds append: le32 port, le16 event, le16 value. */
export const CONTROL_BYTES = 8;

/** Makes a message. */
export function controlMessage(
  port: number,
  event: number,
  value: number,
  appended: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const message = new Uint8Array(CONTROL_BYTES + appended.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, port, true);
  view.setUint16(4, event, true);
  view.setUint16(6, value, true);
  message.set(appended, CONTROL_BYTES);
  return message;
}

/**
 * Makes the message of a new console size. The specification puts the columns first; Linux's driver reads the
 * rows first, and has always done so but for a few releases of 2025 that were reverted. The guests decide.
 */
export function resizeMessage(port: number, columns: number, rows: number): Uint8Array {
  const size = new Uint8Array(4);
  const view = new DataView(size.buffer);
  view.setUint16(0, rows, true);
  view.setUint16(2, columns, true);
  return controlMessage(port, RESIZE, 0, size);
}
