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
const layout = 2;

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
  /**
   * Programs taken over from packages, each at its own path; what they need is found in `libraries`. They lie where
   * `place` says.
   */
  programs: z.record(packageName, z.array(path).min(1)).default({}),
  /** Packages of shared libraries: of these, the files that the programs need are taken. */
  libraries: z.array(packageName).default([]),
  /** The file set of the workload `files`: so many files of so many pages of 4 KiB. It lies where `place` says. */
  fileSet: z.strictObject({ files: z.int().min(1).max(1000), pages: z.int().min(1).max(4096) }).optional(),
  /**
   * Where programs, libraries and the file set lie: in the initramfs, or on a read-only disk that is mounted on /image,
   * with links to it from where they would be.
   */
  place: z.enum(['initramfs', 'disk']).default('initramfs'),
  /** Files of pagefold's own: path to the file in `workloads/guest/`. */
  own: z.record(path, path).default({}),
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
  /** What the files of `own` have, by their paths in the image. */
  ownFiles: ReadonlyMap<string, Uint8Array>;
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
  const texts = [await read(file)];
  for (let base = baseOf(texts[0]!); base !== undefined; base = baseOf(texts.at(-1)!))
    texts.push(await read(base));
  const recipe = parseRecipe(file, texts[0]!, ...texts.slice(1));
  const initScript = await readFile(new URL(recipe.init, guestFolder), 'utf8');
  const ownFiles = new Map<string, Uint8Array>();
  for (const [path, own] of Object.entries(recipe.own)) {
    ownFiles.set(path, await readFile(new URL(own, guestFolder)));
  }
  const ownDigests = [...ownFiles.values()].map(sha256);
  const digest = sha256(JSON.stringify([layout, name, recipe, initScript, ownDigests]));
  return { ...recipe, name, file, initScript, ownFiles, digest };
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

/** What `own` says, and for all else what `base` says; mappings are taken together key by key. */
function merged(base: unknown, own: unknown): unknown {
  if (!isMapping(base) || !isMapping(own)) return own;
  const keys = Object.entries(own).map(([key, value]) => [key, merged(base[key], value)]);
  return { ...base, ...Object.fromEntries(keys) };
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Parses the text of a recipe. With `extends: NAME`, what it does not say itself is as in the recipe `NAME`, whose text is
 * the first of `bases`; that may extend the next in turn. Throws {@link UserError} that names file, line and key.
 */
export function parseRecipe(
  file: string,
  text: string,
  ...bases: readonly string[]
): z.infer<typeof recipeSchema> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const remedy = 'mend the recipe';
  const syntax = document.errors[0];
  if (syntax !== undefined) {
    const cause = syntax.message.split('\n')[0]!.replace(/ at line \d+.*$/, '');
    throw new UserError({ file, place: `line ${syntax.linePos?.[0].line ?? 1}`, cause, remedy });
  }
  const own = (document.toJS() ?? {}) as Record<string, unknown>;
  const whole = bases.reduceRight<unknown>((below, each) => merged(below, parseDocument(each).toJS()), {});
  const { extends: _, ...keys } = merged(whole, own) as Record<string, unknown>;
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
