/** From the name of an image to the image itself. */
import { buildImage } from './build.ts';
import { readRecipe, recipeNames, unknownImage } from './recipe.ts';
import { type Image, imageDigests, namedDigest, readImage } from './store.ts';
import { UserError } from './user-error.ts';

/**
 * Finds the image called `name`, and builds it when it is not in the cache or its recipe has changed since.
 *
 * `NAME@DIGEST` is the image of just that content, where the first digits of the digest are enough; it is
 * never built. `progress` is told each step of a build, as a line of text.
 * @throws {@link UserError} when there is no such image
 */
export async function resolveImage(
  name: string,
  progress: (line: string) => void = () => {},
): Promise<Image> {
  const at = name.indexOf('@');
  if (at >= 0) return resolvePinned(name.slice(0, at), name.slice(at + 1));
  const digest = await namedDigest(name);
  const names = await recipeNames();
  if (digest === undefined && !names.includes(name)) throw unknownImage(name, names);
  const image = digest === undefined ? undefined : await readImage(digest);
  // An imported image may have a name for which this version of pagefold has no recipe.
  if (!names.includes(name)) return image!;
  const recipe = await readRecipe(name);
  if (image?.manifest.recipe === recipe.digest) return image;
  return buildImage(recipe, progress);
}

/** Finds an image in the cache by its name and the beginning of its digest. */
async function resolvePinned(name: string, digest: string): Promise<Image> {
  const digests = /^[0-9a-f]{4,64}$/.test(digest) ? await imageDigests() : [];
  const images = await Promise.all(digests.filter((each) => each.startsWith(digest)).map(readImage));
  const named = images.filter((image) => image.name === name);
  if (named.length === 1) return named[0]!;
  throw new UserError({
    file: `${name}@${digest}`,
    cause: named.length === 0 ? 'the cache has no image of this content' : 'more than one image begins so',
    remedy:
      named.length === 0
        ? "import it: 'pagefold guest import FILE'; 'pagefold guest list' shows what there is"
        : 'give more digits of the digest',
  });
}
