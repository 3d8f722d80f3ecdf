/** A driver broke the rules of its device or of the virtqueues; the message is the reason that is shown. */
export class DriverError extends Error {
  override name = 'DriverError';
}
