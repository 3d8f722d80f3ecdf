// Where pagefold keeps what it can make again. In plain JavaScript, since the command's entry asks before it loads any TypeScript.
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The cache's folder: `PAGEFOLD_CACHE`, or `pagefold` in the user's cache folder (XDG Base Directory).
 * @param {NodeJS.ProcessEnv} [environment]
 */
export function cacheFolder(environment = process.env) {
  const { PAGEFOLD_CACHE: own, XDG_CACHE_HOME: caches } = environment;
  return own || join(caches || join(homedir(), '.cache'), 'pagefold');
}
