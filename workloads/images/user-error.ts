/** What went wrong where, and what the user can do about it. */
export interface UserErrorParts {
  /** The file, option or command that is at fault. */
  file: string;
  /** Where in it: a line, a key, a field. Left out when the whole is at fault. */
  place?: string;
  /** What is wrong, without a full stop. */
  cause: string;
  /** What to do, as an imperative, without a full stop. */
  remedy: string;
}

/**
 * A mistake that the user can mend: the command prints its message alone, without a stack, and ends with
 * status 2. Everything else that is thrown is a defect of pagefold.
 */
export class UserError extends Error {
  override name = 'UserError';
  constructor({ file, place, cause, remedy }: UserErrorParts) {
    super(`${file}: ${place === undefined ? '' : `${place}: `}${cause}. Remedy: ${remedy}.`);
  }
}
