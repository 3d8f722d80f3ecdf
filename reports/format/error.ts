/** Why a run folder cannot be used, in the words that the user gets. */

/** A run folder that is damaged, from another version of pagefold, or none at all. Nothing was changed in it. */
export class RunFolderError extends Error {
  override name = 'RunFolderError';
  /** What is wrong, without the remedy. */
  readonly what: string;

  /** `file` is the path, `place` the line or key in it, `cause` and `remedy` are without a full stop. */
  constructor(file: string, place: string | undefined, cause: string, remedy: string) {
    const what = `${file}: ${place === undefined ? '' : `${place}: `}${cause}`;
    super(`${what}. Remedy: ${remedy}.`);
    this.what = what;
  }
}
