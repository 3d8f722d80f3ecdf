/** HTML as text. Whatever comes from a run is escaped: guests say what they like. */

/** Text that is HTML already. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }
}

/** What may stand in a template: text is escaped, HTML is not, lists are joined, null is nothing. */
export type Part = string | number | Html | null | readonly Part[];

/** A template of HTML; see {@link Part}. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.reduce((text, string, at) => text + written(parts[at - 1] ?? null) + string));
}

function written(part: Part): string {
  if (part === null) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(written).join('');
  return String(part).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** JSON for the inside of a script element, which ends wherever its text has an end tag. */
export function scriptJson(value: unknown): Html {
  const escaped: Record<string, string> = { '<': '\\u003c', '\u2028': '\\u2028', '\u2029': '\\u2029' };
  return new Html(JSON.stringify(value).replace(/[<\u2028\u2029]/g, (character) => escaped[character]!));
}
