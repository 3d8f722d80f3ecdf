/**
 * Reports: from run folders to a page, figures and tables.
 *
 * Folders are read (`run.ts`), made into sections of charts and tables (`section.ts`), and written: the page (`render/page.ts`),
 * each chart as SVG, PNG, Vega-Lite and CSV (`render/figure.ts`), each table as CSV. The same folders give
 * the same bytes.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Chart } from './charts/chart.ts';
import { RunFolderError } from './format/error.ts';
import { kindOf } from './format/read.ts';
import { rowsToCsv } from './render/csv.ts';
import { figureSpec } from './render/figure.ts';
import { type PageSection, pageHtml } from './render/page.ts';
import { drawPng } from './render/png.ts';
import { compileChart, drawSvg } from './render/vega.ts';
import { loadRuns, loadStudy } from './run.ts';
import { runsSection, type Section, studySection } from './section.ts';
import { linesText, summaryText } from './summary.ts';

/** The summary of a run in ten lines of text, each with a line feed. Throws as {@link renderReport} does. */
export async function summarize(runFolder: string): Promise<string> {
  const [run] = await loadRuns([runFolder]);
  return summaryText(run!);
}

/** What was written. Paths begin with the folder that was asked for. */
export interface Report {
  /** The page. */
  readonly html: string;
  /** The summary as text. */
  readonly summary: string;
  /** The list of all that was written, as JSON. */
  readonly index: string;
  readonly charts: readonly ReportedChart[];
  readonly tables: readonly { readonly id: string; readonly title: string; readonly csv: string }[];
}

/** The files of a chart. */
export interface ReportedChart {
  readonly id: string;
  readonly title: string;
  readonly svg: string;
  readonly png: string;
  readonly vegaLite: string;
  readonly csv: string;
}

const indexFile = 'report.json';

/**
 * Writes the report about runs, sweeps and density searches into the folder `out`. Several runs are compared; each sweep and
 * density search has a part of its own. What an earlier report left in `out` and this one has not is removed; nothing else is.
 * @throws RunFolderError when a folder is none of these, or damaged; nothing is written then
 */
export async function renderReport(runFolders: readonly string[], out: string): Promise<Report> {
  const sections = await sectionsOf(runFolders);
  const files = new Map<string, string | Uint8Array>();
  const charts: ReportedChart[] = [];
  const tables: { id: string; title: string; csv: string }[] = [];
  for (const { section, prefix } of sections) {
    for (const chart of section.charts) charts.push(await addChart(files, chart, `${prefix}${chart.id}`));
    for (const { id, title, rows } of [...section.leading, ...section.trailing]) {
      const csv = `tables/${prefix}${id}.csv`;
      files.set(csv, rowsToCsv(rows));
      tables.push({ id: `${prefix}${id}`, title, csv });
    }
  }
  const title = sections.map(({ section }) => section.heading).join('; ');
  files.set(
    'summary.txt',
    sections.map(({ section }) => sectionText(section, sections.length > 1)).join('\n'),
  );
  files.set('index.html', await pageHtml({ title, sections }));
  const listed = { title, page: 'index.html', summary: 'summary.txt', charts, tables };
  files.set(
    indexFile,
    `${JSON.stringify({ ...listed, files: [...files.keys(), indexFile].sort() }, null, 2)}\n`,
  );
  await writeAll(out, files);
  const path = (name: string) => join(out, name);
  return {
    html: path('index.html'),
    summary: path('summary.txt'),
    index: path(indexFile),
    charts: charts.map(({ id, title, ...own }) => ({
      id,
      title,
      svg: path(own.svg),
      png: path(own.png),
      vegaLite: path(own.vegaLite),
      csv: path(own.csv),
    })),
    tables: tables.map(({ csv, ...own }) => ({ ...own, csv: path(csv) })),
  };
}

async function sectionsOf(folders: readonly string[]): Promise<PageSection[]> {
  if (folders.length === 0) throw new Error('a report needs the folder of a run; name at least one');
  const runs: string[] = [];
  const studies: string[] = [];
  for (const folder of folders) {
    const kind = await kindOf(folder);
    if (kind === undefined) {
      throw new RunFolderError(
        folder,
        undefined,
        'this is no folder of a run, a sweep or a density search',
        "name folders that 'pagefold run' or 'pagefold density' made",
      );
    }
    (kind === 'run' ? runs : studies).push(folder);
  }
  const sections: Section[] = [];
  if (runs.length > 0) sections.push(runsSection(await loadRuns(runs)));
  for (const folder of studies) sections.push(studySection(await loadStudy(folder)));
  return sections.map((section, at) => ({ section, prefix: at === 0 ? '' : `${at + 1}-` }));
}

async function addChart(
  files: Map<string, string | Uint8Array>,
  chart: Chart,
  id: string,
): Promise<ReportedChart> {
  const own = {
    svg: `charts/${id}.svg`,
    png: `charts/${id}.png`,
    vegaLite: `charts/${id}.vl.json`,
    csv: `charts/${id}.csv`,
  };
  const svg = await drawSvg(id, compileChart(id, figureSpec(chart, false)));
  files.set(own.svg, `${svg}\n`);
  files.set(own.png, drawPng(svg));
  files.set(own.vegaLite, `${JSON.stringify(figureSpec(chart, true), null, 1)}\n`);
  files.set(own.csv, rowsToCsv(chart.table));
  return { id, title: chart.title, ...own };
}

function sectionText({ heading, warnings, summaries }: Section, several: boolean): string {
  const parts = summaries.map(({ heading: of, lines }) => (of === null ? '' : `${of}\n`) + linesText(lines));
  return (
    (several ? `${heading}\n\n` : '') + warnings.map((warning) => `${warning}\n`).join('') + parts.join('\n')
  );
}

/** Writes files under temporary names and renames each when whole, the page and the list last. */
async function writeAll(out: string, files: ReadonlyMap<string, string | Uint8Array>): Promise<void> {
  const former = await formerFiles(out);
  for (const [name, content] of files) {
    const path = join(out, name);
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}.part`;
    await writeFile(temporary, content);
    await rename(temporary, path);
  }
  for (const name of former) if (!files.has(name)) await rm(join(out, name), { force: true });
}

/** What the report that is there consists of. Only names such as a report has are believed. */
async function formerFiles(out: string): Promise<string[]> {
  const text = await readFile(join(out, indexFile), 'utf8').catch(() => '{}');
  try {
    const { files } = JSON.parse(text) as { files?: unknown };
    const isOwn = (name: unknown): name is string =>
      typeof name === 'string' && /^(?:charts|tables)\/[\w.-]+\.(?:svg|png|json|csv)$/.test(name);
    return Array.isArray(files) ? files.filter(isOwn) : [];
  } catch {
    return [];
  }
}
