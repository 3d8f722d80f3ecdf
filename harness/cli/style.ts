/** How the command's own words look: colours on a terminal only and never with NO_COLOR. */
import { styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

/** `text` in that style, when standard output is a terminal that wants colours. */
export function styled(format: Format, text: string): string {
  return styleText(format, text, { stream: process.stdout });
}

/** Tells the user a step of something that takes its time. */
export function progress(line: string): void {
  process.stderr.write(`${styleText('dim', line, { stream: process.stderr })}\n`);
}

/** Tells the user that the command failed, and why. */
export function complain(message: string): void {
  process.stderr.write(`${styleText('red', 'pagefold:', { stream: process.stderr })} ${message}\n`);
}

/**
 * Rows as a table, the first being the head. On a terminal too narrow for it, each row becomes a paragraph of
 * lines `head: value`.
 */
export function table(rows: readonly (readonly string[])[], columns = Number.POSITIVE_INFINITY): string {
  const [head = [], ...body] = rows;
  const widths = head.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
  if (widths.reduce((sum, width) => sum + width + 2, -2) > columns) {
    const paragraph = (row: readonly string[]) => row.map((cell, at) => `${head[at]}: ${cell}\n`).join('');
    return body.map(paragraph).join('\n');
  }
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join('  ')
      .trimEnd();
  return [styled('bold', line(head)), ...body.map(line)].map((each) => `${each}\n`).join('');
}
