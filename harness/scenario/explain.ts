/** Says in words what a value that does not fit a schema should have been: cause, remedy, nearest valid name. */
import type { z } from 'zod';
import { nearest } from '../../workloads/images/nearest.ts';

/** What is wrong with a value, and where in it. */
export interface Explanation {
  readonly path: readonly (string | number)[];
  /** Whether it is the key that is wrong and not its value. */
  readonly ofKey: boolean;
  readonly cause: string;
  readonly remedy: string;
}

type Issue = z.core.$ZodIssue;

/** Explains the issue that tells the most: a misspelt key before the key that is missing for it. */
export function explain(schema: z.ZodType, value: unknown, issues: readonly Issue[]): Explanation {
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]!;
  return explanation(schema, value, issue, toPath(issue.path));
}

const toPath = (path: readonly PropertyKey[]) =>
  path.map((key) => (typeof key === 'number' ? key : String(key)));

function explanation(
  schema: z.ZodType,
  root: unknown,
  issue: Issue,
  path: readonly (string | number)[],
): Explanation {
  const value = valueAt(root, path);
  const expected = expectation(schema, root, path);
  const at = (cause: string, remedy: string) => ({ path, ofKey: false, cause, remedy });
  switch (issue.code) {
    case 'unrecognized_keys': {
      const key = issue.keys[0]!;
      const known = keysAt(schema, root, path);
      return { path: [...path, key], ofKey: true, cause: 'there is no such key', remedy: choice(key, known) };
    }
    case 'invalid_type':
      return value === undefined
        ? at('the key is missing', `give ${expected ?? article(issue.expected)}`)
        : at(
            typeof value === 'number' && expected?.includes('unit') === true
              ? `${value} has no unit`
              : `${show(value)} is not ${article(issue.expected)}`,
            `give ${expected ?? article(issue.expected)}`,
          );
    case 'invalid_value':
      return at(unfit(value), choice(String(value), issue.values.map(String)));
    case 'invalid_format': {
      // The examples are for the remedy.
      const [form, examples] = issue.message.split(', such as ');
      const remedy = examples === undefined ? `give ${expected ?? form}` : `write it like ${examples}`;
      return at(`${show(value)} is not ${form}`, remedy);
    }
    case 'too_small':
    case 'too_big': {
      const least = issue.code === 'too_small';
      const bound = least ? issue.minimum : issue.maximum;
      if (issue.origin === 'array') return at('the list is empty', `give at least ${bound}`);
      return at(
        `${show(value)} is ${least ? 'less' : 'more'} than ${bound}`,
        `give ${bound} or ${least ? 'more' : 'less'}`,
      );
    }
    case 'invalid_union': {
      const inner = issue.errors.filter((branch) => branch.some(({ path: to }) => to.length > 0));
      if (inner.length === 1) {
        const deeper = inner[0]!.find(({ code }) => code === 'unrecognized_keys') ?? inner[0]![0]!;
        return explanation(schema, root, deeper, [...path, ...toPath(deeper.path)]);
      }
      const names = namesAt(schema, root, path, issue.discriminator);
      return value === undefined
        ? at('the key is missing', `give ${expected ?? names.join(' or ')}`)
        : at(unfit(value), choice(String(value), names));
    }
    case 'custom': {
      const remedy = (issue.params as { remedy?: string } | undefined)?.remedy;
      return at(
        value === undefined || remedy !== undefined ? issue.message : `${show(value)} is ${issue.message}`,
        remedy ?? (expected === undefined ? 'mend it' : `give ${expected}`),
      );
    }
    case 'invalid_key':
      return {
        path,
        ofKey: true,
        cause: `not ${issue.issues[0]?.message ?? 'a key that is understood'}`,
        remedy: 'name the key so',
      };
    default:
      return at(issue.message, 'mend it');
  }
}

/** A value in a message, cut when it is long. */
export function show(value: unknown): string {
  const text = typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? 'nothing');
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

const unfit = (value: unknown) => `${show(value)} is not understood`;
/** Types by their names in YAML. */
const typeNames: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'a mapping of keys to values',
  record: 'a mapping of keys to values',
  int: 'a whole number',
  string: 'a text',
  boolean: 'true or false',
};
const article = (type: string) => typeNames[type] ?? `a ${type}`;

/** What to choose from, with the nearest first when there is one. */
export function choice(given: string, known: readonly string[]): string {
  const near = nearest(given, known);
  const all = known.length === 0 ? 'leave it out' : `known here: ${known.join(', ')}`;
  return near === undefined
    ? all
    : `did you mean ${near}? ${all.replace(/^./, (first) => first.toUpperCase())}`;
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  let at = value;
  for (const key of path) at = (at as Record<string, unknown> | null | undefined)?.[key];
  return at;
}

/** The schemas without what surrounds them (defaults, transformations), one for each branch of a union. */
function branches(schema: z.ZodType, value: unknown): z.ZodType[] {
  const { def } = schema as unknown as { def: Def };
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'prefault':
    case 'nullable':
      return branches(def.innerType!, value);
    case 'pipe':
      return branches(def.in!, value);
    case 'union': {
      const all = def.options!.flatMap((option) => branches(option, value));
      const fitting = all.filter((option) => discriminates(option, def.discriminator, value));
      return fitting.length > 0 ? fitting : all;
    }
    default:
      return [schema];
  }
}

/** The parts of a schema's definition that are followed here. */
interface Def {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly discriminator?: string;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly values?: readonly unknown[];
  readonly entries?: Readonly<Record<string, string>>;
}

const defOf = (schema: z.ZodType) => (schema as unknown as { def: Def }).def;

function discriminates(option: z.ZodType, key: string | undefined, value: unknown): boolean {
  if (key === undefined) return false;
  const wanted = defOf(option).shape?.[key];
  return wanted?.safeParse((value as Record<string, unknown> | null)?.[key]).success === true;
}

/** The schemas that may hold for what is at a path. */
function schemasAt(schema: z.ZodType, root: unknown, path: readonly (string | number)[]): z.ZodType[] {
  let value = root;
  let at = [schema];
  for (const key of path) {
    const inside = value;
    at = at.flatMap((each) =>
      branches(each, inside).flatMap((branch) => {
        const { shape, element, valueType } = defOf(branch);
        return shape?.[key] ?? element ?? valueType ?? [];
      }),
    );
    value = (value as Record<string, unknown> | null | undefined)?.[key];
  }
  return at;
}

function keysAt(schema: z.ZodType, root: unknown, path: readonly (string | number)[]): string[] {
  const value = valueAt(root, path);
  const all = schemasAt(schema, root, path).flatMap((each) => branches(each, value));
  return [...new Set(all.flatMap((branch) => Object.keys(defOf(branch).shape ?? {})))];
}

/** The words that are understood at a path: literals, and the names by which mappings are told apart. */
function namesAt(
  schema: z.ZodType,
  root: unknown,
  path: readonly (string | number)[],
  discriminator: string | undefined,
): string[] {
  // A discriminator's own path ends in its key.
  const owner = discriminator !== undefined && path.at(-1) === discriminator ? path.slice(0, -1) : path;
  const all = schemasAt(schema, root, owner).flatMap((each) => branches(each, undefined));
  const names = all.flatMap((branch) => {
    const { values, entries, shape } = defOf(branch);
    if (values !== undefined) return values.map(String);
    if (entries !== undefined) return Object.values(entries);
    if (shape === undefined) return [];
    if (discriminator === undefined) return [`or a mapping with keys such as ${Object.keys(shape)[0]}`];
    return (defOf(shape[discriminator]!).values ?? []).map(String);
  });
  return [...new Set(names)];
}

/** What a key's description says that it is, with the form of its values. */
function expectation(
  schema: z.ZodType,
  root: unknown,
  path: readonly (string | number)[],
): string | undefined {
  const all = schemasAt(schema, root, path);
  const literal = all.flatMap((each) => {
    const { values, entries } = defOf(branches(each, undefined)[0]!);
    return values?.map(String) ?? Object.values(entries ?? {});
  });
  if (literal.length > 0) return `one of ${literal.join(', ')}`;
  for (const each of all.flatMap((one) => branches(one, undefined))) {
    const pattern = each as unknown as {
      def: { checks?: readonly { _zod: { def: { error?: unknown } } }[] };
    };
    for (const check of pattern.def.checks ?? []) {
      const { error } = check._zod.def;
      const text = typeof error === 'function' ? String(error({})) : undefined;
      if (text?.startsWith('a ') === true) return text;
    }
  }
  return undefined;
}
