/**
 * The page: one file that needs nothing else. Each panel comes twice, as a drawing that shows without scripts, and as a
 * Vega specification that a script draws anew. Colours are CSS variables, so that both follow the reader's
 * choice of light or dark.
 */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Chart, LegendEntry, Panel, Spec } from '../charts/chart.ts';
import type { Section, Summary } from '../section.ts';
import type { Table } from '../tables/table.ts';
import { chartConfig, dark, declarations, light, variables } from '../theme.ts';
import { contents, still } from './figure.ts';
import { Html, html, scriptJson } from './html.ts';
import { compileChart, drawSvg, type VegaSpec } from './vega.ts';

/** Font of the page, as Vega and CSS name it. */
const pageFont = 'system-ui, -apple-system, "Segoe UI", Inter, "DejaVu Sans", Arial, sans-serif';

/** Width of the drawings that the page comes with. */
const stillWidth = 520;

/** What the page is made of. */
export interface Page {
  readonly title: string;
  readonly sections: readonly PageSection[];
}

/** A section, and the names of its files. */
export interface PageSection {
  readonly section: Section;
  /** Put before the names of its charts and tables. */
  readonly prefix: string;
}

interface Drawn {
  config: VegaSpec['config'];
  readonly panels: Record<string, VegaSpec>;
}

/** Writes the page. Links to files of charts and tables are relative to it. */
export async function pageHtml({ title, sections }: Page): Promise<string> {
  const drawn: Drawn = { config: {}, panels: {} };
  const bodies: Html[] = [];
  for (const { section, prefix } of sections)
    bodies.push(await sectionHtml(section, prefix, sections.length > 1, drawn));
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="pagefold">
<meta name="color-scheme" content="light dark">
<title>${title} · pagefold</title>
<link rel="icon" href="data:,">
<style>
:root { ${new Html(declarations(light))} }
@media (prefers-color-scheme: dark) { :root { ${new Html(declarations(dark))} } }
@media print { :root { ${new Html(declarations(light))} } }
${new Html(readOwn('page.css'))}</style>
</head>
<body>
<header>
<p class="muted">pagefold report</p>
<h1>${title}</h1>
</header>
<main>
${bodies}
</main>
<div id="tooltip" role="status" hidden></div>
<script type="application/json" id="panels">${scriptJson(drawn)}</script>
<script>${new Html(inlineScript(readFileSync(vegaFile(), 'utf8')))}</script>
<script>${new Html(inlineScript(readOwn('client.js')))}</script>
</body>
</html>
`;
  return page.text;
}

function readOwn(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8');
}

/** Vega for browsers, in one file. It stands beside the module that Node imports. */
function vegaFile(): URL {
  return new URL('vega.min.js', import.meta.resolve('vega'));
}

/** A script for the inside of an element: what would end that is written in another way. */
function inlineScript(script: string): string {
  return script.replace(/<\/(script)/gi, '<\\/$1').replace(/\/\/# sourceMappingURL=.*/g, '');
}

async function sectionHtml(section: Section, prefix: string, several: boolean, drawn: Drawn): Promise<Html> {
  const charts: Html[] = [];
  for (const chart of section.charts) charts.push(await chartHtml(chart, prefix, drawn));
  const tables = [...section.leading, ...section.trailing];
  return html`<section>
${several ? html`<h2>${section.heading}</h2>` : null}
${section.warnings.map((warning) => html`<p class="warning" role="note">${warning}</p>`)}
${section.highlights.length === 0 ? null : html`<ul class="tiles">${section.highlights.map(({ label, value }) => html`<li><b>${value}</b><span>${label}</span></li>`)}</ul>`}
<div class="summaries">${section.summaries.map(summaryHtml)}</div>
<nav aria-label="Contents"><ul>${[...section.charts, ...tables].map(({ id, title }) => html`<li><a href="#${prefix}${id}${isTable(id, tables) ? '-table' : ''}">${title}</a></li>`)}</ul></nav>
${section.leading.map((table) => tableHtml(table, prefix))}
${charts}
${section.trailing.map((table) => tableHtml(table, prefix))}
</section>`;
}

function isTable(id: string, tables: readonly Table[]): boolean {
  return tables.some((table) => table.id === id);
}

function summaryHtml({ heading, lines }: Summary): Html {
  return html`<div>${heading === null ? null : html`<h3>${heading}</h3>`}<dl>${lines.map(
    ({ question, answer }) => html`<dt>${question}</dt><dd>${unbroken(answer)}</dd>`,
  )}</dl></div>`;
}

async function chartHtml(chart: Chart, prefix: string, drawn: Drawn): Promise<Html> {
  const id = `${prefix}${chart.id}`;
  const panels: Html[] = [];
  for (const [at, panel] of chart.panels.entries())
    panels.push(await panelHtml(chart, panel, `${id}-${at + 1}`, drawn));
  const files = ['svg', 'png', 'vl.json', 'csv'].map((ending) => `${id}.${ending}`);
  return html`<figure id="${id}" aria-labelledby="${id}-title">
<h3 id="${id}-title">${chart.title}</h3>
<p class="subtitle">${chart.subtitle}.</p>
<ul class="legend">${chart.legend.map(legendHtml)}</ul>
<div class="panels" style="--columns: ${Math.min(chart.columns, chart.panels.length)}">${panels}</div>
<figcaption><p class="reading">${chart.reading}</p>
<p class="files">${files.map((file, order) => html`${order > 0 ? ' · ' : ''}<a href="charts/${file}">${['SVG', 'PNG', 'Vega-Lite', 'CSV'][order]!}</a>`)}</p></figcaption>
</figure>
`;
}

async function panelHtml(chart: Chart, panel: Panel, key: string, drawn: Drawn): Promise<Html> {
  const title = panel.title === null ? null : html`<h4>${panel.title}</h4>`;
  if (panel.rows.length === 0)
    return html`<div class="panel">${title}<p class="nothing">nothing recorded</p></div>`;
  const description = `${chart.title}${panel.title === null ? '' : `, ${panel.title}`}. ${chart.subtitle}.`;
  const specOf = (width: Spec, contents: Spec): VegaSpec =>
    compileChart(key, {
      description,
      data: { values: panel.rows },
      ...width,
      height: panel.height,
      config: chartConfig(variables, pageFont),
      layer: [headroom, contents],
    });
  const { config, ...spec } = specOf({ width: 'container' }, contents(panel, variables));
  if (Object.keys(drawn.panels).length === 0) drawn.config = config;
  else if (!isDeepStrictEqual(config, drawn.config)) throw new Error(`${key} has settings of its own`);
  drawn.panels[key] = spec;
  const fixed = { width: stillWidth, autosize: { type: 'fit-x', contains: 'padding' } };
  const svg = await drawSvg(key, specOf(fixed, still(contents(panel, variables))));
  return html`<div class="panel" data-panel="${key}">${title}<div class="drawing">${new Html(ownIds(svg, key))}</div></div>`;
}

/** Room above the plot for the topmost label, so that panels beside each other have their axes at one height. */
const headroom: Spec = {
  data: { values: [{}] },
  mark: { type: 'point', opacity: 0, size: 1, x: 0, y: -7, aria: false },
};

/** Makes the names of a drawing's clips its own: they hold for the whole page. */
function ownIds(svg: string, key: string): string {
  return svg.replace(/(id="|url\(#)((?:clip|gradient_)\w*)/g, `$1${key}-$2`);
}

/** Text in which no line ends between a number and its unit. */
function unbroken(text: string): string {
  return text.replace(/(\d) (?=(?:%|×|[KMGT]?i?B\b|[nµm]?s\b))/g, '$1\u00a0');
}

/** The sample of a mark, as the legend of a figure in a file has it. */
function legendHtml({ label, colour, mark, hollow }: LegendEntry): Html {
  const color = variables[colour];
  const shapes: Record<string, string> = {
    circle: 'M14 7a4.5 4.5 0 1 0 -9 0a4.5 4.5 0 1 0 9 0Z',
    square: 'M5.5 3h8v8h-8Z',
    'triangle-up': 'M9.5 2.5l5 8.5h-10Z',
    'triangle-down': 'M9.5 11.5l5 -8.5h-10Z',
    diamond: 'M9.5 1.5l4.5 5.5l-4.5 5.5l-4.5 -5.5Z',
    cross: 'M7.7 2h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2Z',
  };
  const dash = mark === 'dashed' ? '6 4' : mark === 'dotted' ? '2 3' : 'none';
  const drawing =
    mark === 'area'
      ? html`<rect x="2" y="1" width="15" height="12" rx="2" fill="${color}"/>`
      : mark in shapes
        ? html`<path d="${shapes[mark]!}" fill="${hollow ? variables.background : color}" stroke="${color}" stroke-width="1.8"/>`
        : html`<path d="M0 7h20" stroke="${color}" stroke-width="2" stroke-dasharray="${dash}"/>`;
  return html`<li><svg width="20" height="14" viewBox="0 0 20 14" aria-hidden="true">${drawing}</svg>${label}</li>`;
}

/** What would make a column too wide when it were not broken. */
const longWord = /\S{24}/;

function tableHtml({ id, title, note, head, figures, body }: Table, prefix: string): Html {
  const cell = (name: 'th' | 'td') => (text: string, at: number) =>
    figures[at]
      ? html`<${new Html(name)} class="figure">${text}</${new Html(name)}>`
      : html`<${new Html(name)}${longWord.test(text) ? new Html(' class="long"') : null}>${text}</${new Html(name)}>`;
  return html`<div class="table" id="${prefix}${id}-table">
<h3>${title}</h3>
${note === '' ? null : html`<p class="subtitle">${note}</p>`}
<div class="scroll" tabindex="0" role="region" aria-label="${title}"><table><thead><tr>${head.map(cell('th'))}</tr></thead>
<tbody>${body.map(
    (row) => html`<tr>${row.map(cell('td'))}</tr>
`,
  )}</tbody></table></div>
<p class="files"><a href="tables/${prefix}${id}.csv">CSV</a></p>
</div>
`;
}
