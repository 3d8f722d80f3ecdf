/** The font of figures in files: Inter, which a package brings, so that text looks the same on every machine. */
import { fileURLToPath } from 'node:url';
import { type FontMetrics, readFontMetrics } from './fontmetrics.ts';

const fileOf = (name: string) =>
  fileURLToPath(import.meta.resolve(`@expo-google-fonts/inter/${name}/Inter_${name}.ttf`));

/** Its files: regular and semi-bold. */
export const fontFiles: readonly string[] = [fileOf('400Regular'), fileOf('600SemiBold')];

/** Its name, and what a viewer takes who has not got it. */
export const figureFont = 'Inter, "DejaVu Sans", "Helvetica Neue", Arial, sans-serif';

/** Its name in the font files. */
export const fontFamily = 'Inter';

let metrics: readonly FontMetrics[] | undefined;

/** Width of a text in pixels; `weight` as in CSS. */
export function textWidth(text: string, size: number, weight: number | string = 400): number {
  metrics ??= fontFiles.map(readFontMetrics);
  const bold = weight === 'bold' || Number(weight) >= 600;
  return size * metrics[bold ? 1 : 0]!.width(text);
}
