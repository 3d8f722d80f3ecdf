/** The chart of a session: how many times another emulator's time pagefold takes, a row a work. */
import { Resvg } from '@resvg/resvg-js';
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { spread } from './samples.ts';
import { type Session, timedRows } from './table.ts';

/** Fonts that most machines have one of. */
const font = 'DejaVu Sans, Liberation Sans, Arial, sans-serif';
/** The PNG has so many pixels for one of the SVG, for dense screens. */
const scale = 2;

/** The Vega-Lite specification. Undefined when there is nothing to compare. */
export function ratioChart({ own, others, plan, samples }: Session): TopLevelSpec | undefined {
  const rows = timedRows(plan);
  const values = rows.flatMap(({ measure, title }) =>
    others.flatMap(({ name }) => {
      const of = spread([...samples.ratios(measure, own.name, name).values()]);
      return of === undefined ? [] : [{ title, peer: name, ...of }];
    }),
  );
  if (values.length === 0) return undefined;
  const y = {
    field: 'title',
    type: 'nominal',
    sort: rows.map(({ title }) => title),
    title: null,
    axis: { labelLimit: 0 },
  } as const;
  const scaleX = { type: 'log', nice: true } as const;
  const color = { field: 'peer', type: 'nominal', title: 'compared with' } as const;
  const yOffset = { field: 'peer', type: 'nominal' } as const;
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: {
      text: `${own.name}’s time in parts of another emulator’s`,
      subtitle: `left of the line ${own.name} is faster; median, least and largest of ${plan.rounds} rounds`,
    },
    width: 480,
    height: { step: 14 },
    config: { font },
    layer: [
      {
        data: { values: [{ equal: 1 }] },
        mark: { type: 'rule', color: '#666', strokeDash: [4, 3] },
        encoding: { x: { field: 'equal', type: 'quantitative', scale: scaleX } },
      },
      {
        data: { values },
        mark: { type: 'rule', strokeWidth: 2 },
        encoding: {
          y,
          yOffset,
          color,
          x: { field: 'min', type: 'quantitative', scale: scaleX, title: 'ratio of times (logarithmic)' },
          x2: { field: 'max' },
        },
      },
      {
        data: { values },
        mark: { type: 'point', filled: true, size: 60 },
        encoding: { y, yOffset, color, x: { field: 'median', type: 'quantitative', scale: scaleX } },
      },
    ],
  };
}

/** The chart as a picture: SVG text, and PNG made of it. */
export async function drawChart(
  spec: TopLevelSpec,
): Promise<{ readonly svg: string; readonly png: Uint8Array }> {
  const view = new View(parse(compile(spec).spec), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  const png = new Resvg(svg, {
    background: 'white',
    fitTo: { mode: 'zoom', value: scale },
    font: { loadSystemFonts: true, defaultFontFamily: 'DejaVu Sans' },
  })
    .render()
    .asPng();
  return { svg, png };
}
