// How modules are loaded, to be imported before anything else: loading takes longer than all else that stands before a guest.
import module from 'node:module';
import { join } from 'node:path';
import { cacheFolder } from '../../workloads/images/cachefolder.js';

// Node keeps the compiled form of each module in pagefold's cache, or where the user has told it to by `NODE_COMPILE_CACHE`, and
// takes it from there at the next start. An entry is used only for the very source that it was made from; where none can be written
// or read, modules are compiled as if there were no cache.
const { NODE_COMPILE_CACHE: given = ownFolder() } = process.env;
if (given !== undefined) {
  // Worker threads start with what the environment says.
  process.env.NODE_COMPILE_CACHE = given;
  module.enableCompileCache(given);
}

/** @returns {string | undefined} */
function ownFolder() {
  try {
    return join(cacheFolder(), 'compiled');
  } catch {
    // The user has no home folder.
    return undefined;
  }
}

// A TypeScript file is named as it is, so Node need not look for it, nor for links and packages on the way to it.
module.registerHooks({
  resolve(specifier, context, next) {
    const { parentURL } = context;
    if (parentURL === undefined || !/^\.\.?\/.*\.ts$/.test(specifier)) return next(specifier, context);
    return { url: new URL(specifier, parentURL).href, format: 'module-typescript', shortCircuit: true };
  },
});
