/** Vega-Lite to Vega, and Vega to SVG without a browser. */
import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { Spec } from '../charts/chart.ts';
import { textWidth } from './fonts.ts';

/** What Vega warns of, or cannot compile, in a chart. It is a defect of the chart. */
export class ChartError extends Error {
  override name = 'ChartError';
}

/** A Vega specification. */
export type VegaSpec = vega.Spec;

/** Compiles a Vega-Lite specification; `name` tells which in an error. */
export function compileChart(name: string, spec: Spec): VegaSpec {
  const complain = (...words: readonly unknown[]): never => {
    throw new ChartError(`chart ${name}: ${words.map(String).join(' ')}`);
  };
  return compile(spec as unknown as TopLevelSpec, { logger: loggerTo(complain) }).spec;
}

/** A logger of Vega that hands on warnings and errors, and drops what is less. */
function loggerTo(complain: (...words: readonly unknown[]) => void): vega.LoggerInterface {
  const say = (...words: readonly unknown[]) => {
    complain(...words);
    return logger;
  };
  const logger: vega.LoggerInterface = {
    level: ((level?: number) => (level === undefined ? vega.Warn : logger)) as vega.LoggerInterface['level'],
    error: say,
    warn: say,
    info: () => logger,
    debug: () => logger,
  };
  return logger;
}

interface TextItem {
  readonly text?: unknown;
  readonly fontSize?: number;
  readonly fontWeight?: number | string;
}

// Vega measures text on a canvas, which only a browser has, and takes another measure where one is set.
const measure = (item: TextItem, text: unknown = item.text) =>
  textWidth(
    String(
      Array.isArray(text) ? text.reduce((a, b) => (String(a).length > String(b).length ? a : b), '') : text,
    ),
    item.fontSize ?? 11,
    item.fontWeight,
  );
(vega as unknown as { textMetrics: { width: typeof measure } }).textMetrics.width = measure;

/** Draws a specification. */
export async function drawSvg(name: string, spec: VegaSpec): Promise<string> {
  const view = new vega.View(vega.parse(spec), {
    renderer: 'none',
    logger: loggerTo((...words) => {
      throw new ChartError(`chart ${name}: ${words.map(String).join(' ')}`);
    }),
  });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
