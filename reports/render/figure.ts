/** A chart as one figure for a file: title, legend and all panels in one Vega-Lite specification. */
import type { Chart, LegendEntry, Panel, Spec } from '../charts/chart.ts';
import { chartConfig, light, type Theme } from '../theme.ts';
import { figureFont, textWidth } from './fonts.ts';

/** Width of the inside of all panels of a row together. */
const widths = [660, 860, 900] as const;

const legendSize = 11.5;
const rowHeight = 18;

/**
 * The specification of the whole figure, in the light palette, with its data in it. With what answers to the pointer
 * when it is `live`; in a drawing that would be marks that nobody sees.
 */
export function figureSpec(chart: Chart, live: boolean): Spec {
  const columns = Math.min(chart.columns, chart.panels.length);
  const total = widths[Math.min(columns, widths.length) - 1]!;
  const width = Math.round(total / columns);
  const rows: Spec[] = [];
  for (let at = 0; at < chart.panels.length; at += columns) {
    const panels = chart.panels.slice(at, at + columns).map((panel) => panelFigure(panel, width, live));
    rows.push({ hconcat: panels, spacing: 22, resolve: apart });
  }
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    description: `${chart.title}. ${chart.subtitle}`,
    title: { text: chart.title, subtitle: chart.subtitle },
    config: { ...chartConfig(light, figureFont), background: light.background, padding: 14 },
    vconcat: [...(chart.legend.length > 0 ? [legendFigure(chart.legend, total, light)] : []), ...rows],
    spacing: 8,
    resolve: apart,
  };
}

/** Panels agree on their scales by giving them the same bounds. */
const apart = { scale: { x: 'independent', y: 'independent', color: 'independent' } };

function panelFigure(panel: Panel, width: number, live: boolean): Spec {
  return {
    data: { values: panel.rows },
    width,
    height: panel.height,
    layer: [
      ...(panel.title === null ? [] : [panelTitle(panel.title)]),
      live ? contents(panel, light) : still(contents(panel, light)),
    ],
  };
}

/** A panel's title as a mark: Vega would move a real one up and down with the labels of the axis beside it. */
function panelTitle(text: string): Spec {
  return {
    data: { values: [{ text }] },
    mark: { type: 'text', align: 'left', fontSize: 12, fontWeight: 600, x: 0, y: -14 },
    encoding: { text: { field: 'text', type: 'nominal' } },
  };
}

/** What a panel shows; one that has no row says so. */
export function contents(panel: Panel, theme: Theme): Spec {
  if (panel.rows.length > 0) return panel.spec(theme);
  return {
    data: { values: [{ text: 'nothing recorded' }] },
    mark: { type: 'text', color: theme.muted },
    encoding: { text: { field: 'text', type: 'nominal' } },
  };
}

/** A view without the layers that answer to the pointer. */
export function still(spec: Spec): Spec {
  const { layer } = spec;
  return Array.isArray(layer)
    ? { ...spec, layer: layer.filter((each: Spec) => each.params === undefined) }
    : spec;
}

/** The legend: its entries in lines as wide as the figure. */
function legendFigure(entries: readonly LegendEntry[], width: number, theme: Theme): Spec {
  let left = 0;
  let line = 0;
  const placed = entries.map((entry) => {
    const needed = 26 + textWidth(entry.label, legendSize) + 18;
    if (left > 0 && left + needed > width) {
      left = 0;
      line++;
    }
    const x = left;
    left += needed;
    return { ...entry, x, y: line * rowHeight + rowHeight / 2 };
  });
  const height = (line + 1) * rowHeight;
  const mark = ({ x, y, label, ...entry }: (typeof placed)[number]): Spec => ({
    data: { values: [{ label }] },
    layer: [
      key(entry, theme, x, y),
      {
        mark: { type: 'text', align: 'left', baseline: 'middle', fontSize: legendSize, color: theme.ink },
        encoding: { x: { value: x + 26 }, y: { value: y }, text: { field: 'label', type: 'nominal' } },
      },
    ],
  });
  return { width, height, view: { stroke: null }, layer: placed.map(mark) };
}

/** The sample of a mark, 20 pixels wide. */
function key({ mark, colour, hollow }: Omit<LegendEntry, 'label'>, theme: Theme, x: number, y: number): Spec {
  const color = theme[colour];
  if (mark === 'area') {
    const encoding = {
      x: { value: x + 2 },
      x2: { value: x + 18 },
      y: { value: y - 6 },
      y2: { value: y + 6 },
    };
    return { mark: { type: 'rect', color, cornerRadius: 2 }, encoding };
  }
  if (mark === 'line' || mark === 'dashed' || mark === 'dotted') {
    const strokeDash = mark === 'line' ? [] : mark === 'dashed' ? [6, 4] : [2, 3];
    const encoding = { x: { value: x }, x2: { value: x + 20 }, y: { value: y } };
    return { mark: { type: 'rule', color, strokeWidth: 2, strokeDash }, encoding };
  }
  return {
    mark: {
      type: 'point',
      shape: mark,
      stroke: color,
      fill: hollow ? theme.background : color,
      strokeWidth: 1.8,
      size: 70,
      opacity: 1,
    },
    encoding: { x: { value: x + 10 }, y: { value: y } },
  };
}
