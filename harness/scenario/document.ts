/** A YAML file of which every key and value can be found again, for messages. */
import { isMap, isPair, isScalar, isSeq, LineCounter, type Node, parse, parseDocument } from 'yaml';
import { UserError } from '../../workloads/images/user-error.ts';
import { show } from './explain.ts';

/** A path of keys and indices. */
export type Path = readonly (string | number)[];

/** See the top of this file. */
export class ScenarioDocument {
  readonly file: string;
  readonly value: unknown;
  readonly #root: Node | null;
  readonly #lines = new LineCounter();

  /** Throws {@link UserError} for what is not YAML. */
  constructor(file: string, text: string) {
    this.file = file;
    const document = parseDocument(text, { lineCounter: this.#lines });
    const error = document.errors[0];
    if (error !== undefined) {
      const { line, col } = error.linePos?.[0] ?? { line: 1, col: 1 };
      throw new UserError({
        file: `${file}:${line}:${col}`,
        cause: error.message.split('\n')[0]!.replace(/ at line \d+.*$/, ''),
        remedy: 'mend the YAML',
      });
    }
    this.#root = document.contents;
    this.value = document.toJS();
    if (!isMap(this.#root)) {
      throw new UserError({
        file: `${file}:1:1`,
        cause: 'this is no scenario: it is no mapping of keys to values',
        remedy: "begin with 'name: ...'; see docs/scenarios.md",
      });
    }
  }

  /** `FILE:LINE:COLUMN` of the value at a path, or of its key; of the nearest that is there when it is not. */
  place(path: Path, ofKey: boolean): string {
    let node: unknown = this.#root;
    let offset = 0;
    for (const [depth, key] of path.entries()) {
      const last = depth === path.length - 1;
      const pair = isMap(node)
        ? node.items.find((each) => isScalar(each.key) && each.key.value === key)
        : undefined;
      const item = isSeq(node) ? node.items[Number(key)] : undefined;
      const next: unknown = pair?.value ?? (isPair(item) ? item.value : item);
      const at = last && ofKey ? (pair?.key ?? next) : (next ?? pair?.key);
      const range = (at as Node | undefined)?.range;
      if (range === undefined || range === null) break;
      offset = range[0];
      node = next;
    }
    const { line, col } = this.#lines.linePos(offset);
    return `${this.file}:${line}:${col}`;
  }
}

/** The keys and indices of a path that is written with dots. */
export function parsePath(text: string): (string | number)[] {
  return text.split('.').map((key) => (/^\d+$/.test(key) ? Number(key) : key));
}

/** A path, written with dots. */
export function formatPath(path: Path): string {
  return path.join('.');
}

/** `PATH=VALUE` of the option --set, where the value is YAML. */
export function parseSetting(setting: string): { path: string; value: unknown } {
  const [, path, text] = /^([A-Za-z_]\w*(?:\.\w+)*)=(.*)$/s.exec(setting) ?? [];
  if (path === undefined || text === undefined) {
    throw new UserError({
      file: `--set ${setting}`,
      cause: 'this is not PATH=VALUE',
      remedy: "write it like 'guests.0.count=8'",
    });
  }
  try {
    return { path, value: parse(text) };
  } catch (error) {
    throw new UserError({
      file: `--set ${setting}`,
      cause: `the value is no YAML (${(error as Error).message.split('\n')[0]})`,
      remedy: 'quote it',
    });
  }
}

/**
 * A copy of `root` with the value at a path set; mappings that are not there on the way to it are made.
 * @throws an Error with the reason when the path leads through a value that is no mapping or list
 */
export function withValue(root: unknown, path: Path, value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(root)) {
    if (typeof key !== 'number' || key > root.length) {
      throw new Error(`the list has ${root.length} entries, counted from 0; there is none ${show(key)}`);
    }
    return root
      .map((each, at) => (at === key ? withValue(each, rest, value) : each))
      .concat(key === root.length ? [withValue(undefined, rest, value)] : []);
  }
  if (root !== undefined && (typeof root !== 'object' || root === null)) {
    throw new Error(`${show(root)} stands where the key ${show(key)} would be`);
  }
  const there = root as Record<string, unknown> | undefined;
  return { ...there, [key]: withValue(there?.[key], rest, value) };
}
