/**
 * Recipes: the declarative files `recipes/*.yaml` that say what a guest image is made of.
 */
import { readdir, readFile } from 'node:fs/promises';
import { isMap, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { sha256 } from './digest.ts';
import { nearest } from './nearest.ts';
import { UserError } from './user-error.ts';

/**
 * Counts changes in how images are laid out. An image built by an older layout is built anew, as one whose
 * recipe changed is.
 */
const layout = 1;

const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, 'not the name of a Debian package');
const path = z
  .string()
  .regex(/^[^/\s]+(\/[^/\s]+)*$/, 'not a path relative to the root, such as bin/busybox');
const moduleName = z.string().regex(/^[A-Za-z0-9_-]+$/, 'not the name of a kernel module');

const recipeSchema = z.strictObject({
  /** One line for `pagefold guest list`. */
  description: z.string(),
  /** The kernel's package; a metapackage stands for the versioned package that it depends on. */
  kernel: packageName,
  /** Files taken over from packages, each at its own path. */
  files: z.record(packageName, z.array(path).min(1)),
  /** Symbolic links: path to target. */
  links: z.record(path, z.string()),
  /** Texts written into files: path to content. */
  texts: z.record(path, z.string()),
  /** Empty directories. */
  directories: z.array(path),
  modules: z.strictObject({
    /** Loaded by init, in this order. Those that are built into the kernel are left out. */
    load: z.array(moduleName),
    /** There to be loaded on demand. */
    available: z.array(moduleName),
  }),
  /** What runs first: a file in `workloads/guest/`. */
  init: path,
});

/** What a recipe says, with `extends` resolved. */
export interface Recipe extends z.infer<typeof recipeSchema> {
  name: string;
  /** The recipe's own file, for messages. */
  file: string;
  /** The text of its init script. */
  initScript: string;
  /** SHA-256 over all of the above but `file`: it changes when an image has to be built anew. */
  digest: string;
}

const recipesFolder = new URL('recipes/', import.meta.url);
const guestFolder = new URL('../guest/', import.meta.url);

/** The names of the recipes that pagefold brings along, sorted. */
export async function recipeNames(): Promise<string[]> {
  const files = await readdir(recipesFolder);
  return files
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length))
    .sort();
}

/** Reads the recipe of that name. Throws {@link UserError} when there is none or it is wrong. */
export async function readRecipe(name: string): Promise<Recipe> {
  const names = await recipeNames();
  if (!names.includes(name)) throw unknownImage(name, names);
  const file = `${name}.yaml`;
  const read = (each: string) => readFile(new URL(each, recipesFolder), 'utf8');
  const text = await read(file);
  const base = baseOf(text);
  const recipe = parseRecipe(file, text, base === undefined ? undefined : await read(base));
  const initScript = await readFile(new URL(recipe.init, guestFolder), 'utf8');
  const digest = sha256(JSON.stringify([layout, name, recipe, initScript]));
  return { ...recipe, name, file, initScript, digest };
}

/** There is no image `name`; `known` are the names that there are. */
export function unknownImage(name: string, known: readonly string[]): UserError {
  const near = nearest(name, known);
  const guess = near === undefined ? '' : `did you mean ${near}? `;
  return new UserError({
    file: name,
    cause: 'no guest image has this name',
    remedy: `${guess}Known images: ${known.join(', ')}; see 'pagefold guest list'`,
  });
}

function baseOf(text: string): string | undefined {
  const contents = parseDocument(text).contents;
  const base = isMap(contents) ? contents.get('extends') : undefined;
  return typeof base === 'string' ? `${base}.yaml` : undefined;
}

/**
 * Parses the text of a recipe. With `extends: NAME`, the keys that it does not have itself are those of the
 * recipe `NAME`, whose text is `base`. Throws {@link UserError} that names file, line and key.
 */
export function parseRecipe(file: string, text: string, base?: string): z.infer<typeof recipeSchema> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const remedy = 'mend the recipe';
  const syntax = document.errors[0];
  if (syntax !== undefined) {
    const cause = syntax.message.split('\n')[0]!.replace(/ at line \d+.*$/, '');
    throw new UserError({ file, place: `line ${syntax.linePos?.[0].line ?? 1}`, cause, remedy });
  }
  const own = (document.toJS() ?? {}) as Record<string, unknown>;
  const { extends: _, ...keys } = { ...(base === undefined ? {} : parseDocument(base).toJS()), ...own };
  const parsed = recipeSchema.safeParse(keys);
  if (parsed.success) return parsed.data;
  // A key that is misspelt is missing as well; the misspelling tells more.
  const { issues } = parsed.error;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!;
  const key = [...issue.path, ...(issue.code === 'unrecognized_keys' ? [issue.keys[0]!] : [])];
  const node = document.getIn(key, true) as { range?: [number, number, number] } | undefined;
  const line = node?.range === undefined ? '' : `line ${lines.linePos(node.range[0]).line}, `;
  throw new UserError({ file, place: `${line}${key.join('.')}`, cause: issue.message, remedy });
}
