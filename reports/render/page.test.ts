/** The page in a real browser: every chart is drawn, answers to the pointer, fits, and asks for nothing from outside. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import type { BrowserContext, Page } from 'playwright-core';
import { type Report, renderReport } from '../index.ts';
import { findChromium, withChromium } from '../testing/browser.ts';
import { temporaryFolder } from '../testing/folders.ts';
import { makeRun } from '../testing/generate.ts';
import { makeDensity, makeSweep } from '../testing/studies.ts';

const folder = temporaryFolder(test);
const program = findChromium();
/** A test that needs the browser; it is left out, and says so, where there is none. */
function browserTest(title: string, use: (t: ExecutionContext) => Promise<void>): void {
  if (program !== undefined) test.serial(title, use);
  else test.skip(`${title} (no Chromium on the PATH: install Debian’s package chromium)`, use);
}

/** What a page says and asks for while it is open. */
interface Watched {
  readonly page: Page;
  readonly complaints: string[];
  readonly requests: string[];
}

/** Opens a report and waits until all its charts are drawn. */
async function open(
  browser: BrowserContext,
  html: string,
  width: number,
  scheme: 'light' | 'dark',
): Promise<Watched> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => requests.push(request.url()));
  await page.setViewportSize({ width, height: 900 });
  await page.emulateMedia({ colorScheme: scheme });
  await page.goto(pathToFileURL(html).href);
  await page.waitForSelector('html[data-drawn]', { timeout: 60_000 });
  return { page, complaints, requests };
}

/** A panel as the browser has drawn it. */
interface DrawnPanel {
  readonly chart: string;
  readonly key: string;
  /** Kinds of marks with a size that can be seen, each with how many there are. */
  readonly marks: Readonly<Record<string, number>>;
  readonly colours: readonly string[];
  /** Texts of its axes. */
  readonly texts: readonly string[];
  readonly width: number;
  readonly room: number;
}

/** Reads every panel's marks. Runs in the page. */
function readPanels(): DrawnPanel[] {
  return [...document.querySelectorAll('[data-panel]')].map((panel) => {
    const svg = panel.querySelector('.live svg')!;
    const marks: Record<string, number> = {};
    const colours = new Set<string>();
    for (const group of svg.querySelectorAll('.role-mark')) {
      const kind = /mark-(\w+)/.exec(group.getAttribute('class') ?? '')?.[1] ?? '';
      for (const item of group.querySelectorAll('path, line, text')) {
        const style = getComputedStyle(item);
        const { width, height } = item.getBoundingClientRect();
        const fill = style.fill === 'none' ? style.stroke : style.fill;
        if (Number(style.opacity) === 0 || Math.max(width, height) < 1 || fill === 'none') continue;
        marks[kind] = (marks[kind] ?? 0) + 1;
        colours.add(fill);
      }
    }
    return {
      chart: panel.closest('figure')!.id,
      key: (panel as HTMLElement).dataset.panel!,
      marks,
      colours: [...colours],
      texts: [...svg.querySelectorAll('.role-axis text')].map((text) => text.textContent ?? ''),
      width: svg.getBoundingClientRect().width,
      room: panel.getBoundingClientRect().width,
    };
  });
}

/** The kinds of marks that make each chart what it is. */
const essential: Readonly<Record<string, readonly string[]>> = {
  believed: ['area', 'rule'],
  memory: ['area'],
  merging: ['area', 'line'],
  guests: ['area'],
  swap: ['area'],
  faults: ['line', 'rule', 'text'],
  application: ['line'],
  techniques: ['rect', 'text'],
  density: ['rect', 'text'],
  savings: ['area', 'line', 'symbol'],
  overcommit: ['line', 'symbol'],
};

/** The essential marks of the panels of the chart of CPUs, which differ. */
const ofCpuPanels = ['area', 'line', 'line'];

browserTest('every chart of a run is drawn, in light and dark, wide and narrow', async (t) => {
  t.timeout(300_000);
  const run = await makeRun(join(folder, 'run'), { samples: 60 });
  const report = await renderReport([run], join(folder, 'run-report'));
  await withChromium(program!, {}, async (browser) => {
    const colours = new Map<string, string>();
    for (const width of [1280, 400]) {
      for (const scheme of ['light', 'dark'] as const) {
        const { page, complaints, requests } = await open(browser, report.html, width, scheme);
        await mustBeDrawn(t, page, report);
        const guests = (await page.evaluate(readPanels)).filter(({ chart }) => chart === 'guests');
        // Target and actual size of the balloon, each with its rim.
        t.true(guests.every(({ marks }) => marks.line === 4));
        t.deepEqual(complaints, []);
        t.true(requests.every((url) => url.startsWith('file:') || url.startsWith('data:')));
        // The page never scrolls sideways; wide tables do by themselves.
        t.is(await page.evaluate(() => document.documentElement.scrollWidth), width);
        const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        colours.set(`${scheme} ${width}`, background);
        await page.close();
      }
    }
    t.is(colours.get('light 1280'), 'rgb(255, 255, 255)');
    t.is(colours.get('dark 400'), 'rgb(20, 24, 29)');
  });
});

/** Every chart of the report is in the page, and every panel of it has its marks, titles and room. */
async function mustBeDrawn(t: ExecutionContext, page: Page, report: Report): Promise<void> {
  const panels = await page.evaluate(readPanels);
  t.deepEqual(
    [...new Set(panels.map(({ chart }) => chart))].sort(),
    report.charts.map(({ id }) => id).sort(),
  );
  const seen = new Map<string, number>();
  for (const { chart, key, marks, colours, texts, width, room } of panels) {
    const order = seen.get(chart) ?? 0;
    seen.set(chart, order + 1);
    const kinds = chart === 'cpu' ? [ofCpuPanels[order % 3]!] : essential[chart.replace(/^\d-/, '')]!;
    for (const kind of kinds)
      t.true((marks[kind] ?? 0) > 0, `${key} has no ${kind}: ${JSON.stringify(marks)}`);
    t.true(
      colours.every((colour) => /^rgba?\(/.test(colour)),
      `${key}: ${colours.join(' ')}`,
    );
    t.true(texts.length >= 4, `${key}: ${texts.join(' ')}`);
    t.true(
      texts.every((text) => !/NaN|undefined|null/.test(text)),
      `${key}: ${texts.join(' ')}`,
    );
    t.true(width > 200 && width <= room + 1, `${key} is ${width} of ${room} wide`);
  }
}

browserTest('runs side by side, sweeps, density searches and partial runs are drawn', async (t) => {
  t.timeout(300_000);
  const a = await makeRun(join(folder, 'a'), { samples: 20 });
  const b = await makeRun(join(folder, 'b'), { samples: 20, balloon: false, pagesToScan: 300 });
  const reports = [
    await renderReport([a, b], join(folder, 'two')),
    await renderReport([await makeSweep(join(folder, 'sweep'), [1, 2, 4])], join(folder, 'sweep-report')),
    await renderReport([await makeDensity(join(folder, 'density'))], join(folder, 'density-report')),
    await renderReport(
      [await makeRun(join(folder, 'cut'), { interrupted: true, samples: 20 })],
      join(folder, 'cut-report'),
    ),
  ];
  await withChromium(program!, {}, async (browser) => {
    for (const report of reports) {
      const { page, complaints } = await open(browser, report.html, 1280, 'light');
      await mustBeDrawn(t, page, report);
      t.deepEqual(complaints, []);
      await page.close();
    }
    // Two runs stand beside each other where there is room, and below each other where there is none.
    const tops = async (width: number) => {
      const { page } = await open(browser, reports[0]!.html, width, 'light');
      const found = await page.evaluate(() =>
        [...document.querySelectorAll('#memory .panel')].map((panel) => panel.getBoundingClientRect().top),
      );
      await page.close();
      return found;
    };
    const [left, right] = await tops(1280);
    t.is(left, right);
    const [upper, lower] = await tops(400);
    t.true(upper! < lower!);
  });
});

browserTest('a single sample can be seen', async (t) => {
  t.timeout(120_000);
  const report = await renderReport(
    [await makeRun(join(folder, 'single'), { samples: 1 })],
    join(folder, 'single-report'),
  );
  await withChromium(program!, {}, async (browser) => {
    const { page, complaints } = await open(browser, report.html, 1280, 'light');
    t.deepEqual(complaints, []);
    for (const { key, marks } of await page.evaluate(readPanels)) {
      t.true(Object.keys(marks).length > 0, key);
      if (/^(memory|believed|guests|merging)/.test(key)) t.true((marks.rect ?? 0) > 0, key);
    }
  });
});

browserTest('a chart tells the figures under the pointer, and follows the window', async (t) => {
  t.timeout(120_000);
  const report = await renderReport(
    [await makeRun(join(folder, 'pointer'), { samples: 30 })],
    join(folder, 'pointer-report'),
  );
  await withChromium(program!, {}, async (browser) => {
    const { page, complaints } = await open(browser, report.html, 1280, 'light');
    const tooltip = page.locator('#tooltip');
    t.false(await tooltip.isVisible());
    for (const [chart, wanted] of [
      ['memory', /time \(s\)[\d.]+[\s\S]*Free \(MiB\)/],
      ['guests', /balloon target \(MiB\)/],
      ['faults', /cause[\s\S]*took no longer than[\d.]+ (ns|µs|ms|s)/],
    ] as const) {
      const drawing = page.locator(`#${chart} .live svg`).first();
      await drawing.scrollIntoViewIfNeeded();
      const box = (await drawing.boundingBox())!;
      await page.mouse.move(box.x + box.width * 0.6, box.y + box.height * 0.4);
      await page.mouse.move(box.x + box.width * 0.6 + 2, box.y + box.height * 0.4);
      await tooltip.waitFor({ state: 'visible', timeout: 5_000 });
      t.regex((await tooltip.innerText()).replaceAll('\t', ''), wanted);
    }
    const widthOf = () =>
      page.evaluate(() => document.querySelector('#memory .live svg')!.getBoundingClientRect().width);
    const wide = await widthOf();
    await page.setViewportSize({ width: 700, height: 900 });
    await page.waitForTimeout(500);
    t.true((await widthOf()) < 690 && wide > 1000);
    t.deepEqual(complaints, []);
  });
});

browserTest('without scripts the drawings that the page came with are shown', async (t) => {
  t.timeout(120_000);
  const report = await renderReport(
    [await makeRun(join(folder, 'still'), { samples: 10 })],
    join(folder, 'still-report'),
  );
  await withChromium(program!, { javaScriptEnabled: false }, async (browser) => {
    const page = await browser.newPage();
    await page.goto(pathToFileURL(report.html).href);
    const shown = await page.evaluate(() =>
      [...document.querySelectorAll('[data-panel]')].map((panel) => {
        const { width, height } = panel.querySelector('svg')!.getBoundingClientRect();
        return Math.min(width, height);
      }),
    );
    t.true(shown.length >= 10);
    t.true(shown.every((size) => size > 100));
    t.is(await page.locator('.live').count(), 0);
  });
});
