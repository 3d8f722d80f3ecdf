/** Figures have text that can be seen. */
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import test from 'ava';
import { runCharts, studyCharts } from '../charts/all.ts';
import { loadRuns, loadStudy } from '../run.ts';
import { temporaryFolder } from '../testing/folders.ts';
import { makeRun } from '../testing/generate.ts';
import { makeDensity } from '../testing/studies.ts';
import { figureSpec } from './figure.ts';
import { readFontMetrics } from './fontmetrics.ts';
import { figureFont, fontFiles, textWidth } from './fonts.ts';
import { drawPng } from './png.ts';
import { compileChart, drawSvg } from './vega.ts';

const folder = temporaryFolder(test);

/** Of a PNG with four bytes a pixel: its width, and the columns that have a dark pixel. */
function darkColumns(png: Uint8Array): { width: number; first: number; last: number } {
  const bytes = Buffer.from(png);
  const width = bytes.readUInt32BE(16);
  const height = bytes.readUInt32BE(20);
  const parts: Buffer[] = [];
  for (let at = 8; at < bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    const length = bytes.readUInt32BE(at);
    if (bytes.toString('latin1', at + 4, at + 8) === 'IDAT')
      parts.push(bytes.subarray(at + 8, at + 8 + length));
  }
  const raw = inflateSync(Buffer.concat(parts));
  const stride = 4 * width;
  const pixels = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)]!;
    for (let x = 0; x < stride; x++) {
      const left = x < 4 ? 0 : pixels[y * stride + x - 4]!;
      const up = y === 0 ? 0 : pixels[(y - 1) * stride + x]!;
      const corner = x < 4 || y === 0 ? 0 : pixels[(y - 1) * stride + x - 4]!;
      const guess = left + up - corner;
      const [a, b, c] = [left, up, corner].map((value) => Math.abs(guess - value)) as [
        number,
        number,
        number,
      ];
      const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
      const add = [0, left, up, (left + up) >> 1, paeth][filter]!;
      pixels[y * stride + x] = raw[y * (stride + 1) + 1 + x]! + add;
    }
  }
  const dark = Array.from({ length: width }, (_, x) =>
    Array.from({ length: height }, (_, y) => y).some((y) => {
      const at = y * stride + 4 * x;
      return pixels[at + 3]! > 128 && pixels[at]! < 100;
    }),
  );
  return { width, first: dark.indexOf(true), last: dark.lastIndexOf(true) };
}

const textSvg = (text: string, weight: number) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="400" height="40"><rect width="400" height="40" fill="#fff"/>` +
  `<text x="10" y="28" font-family='${figureFont}' font-size="20" font-weight="${weight}" fill="#000">${text}</text></svg>`;

for (const weight of [400, 600]) {
  test(`text of weight ${weight} is drawn, and is as wide as it is thought to be`, (t) => {
    for (const text of ['memory (MiB)', 'HHHHHHHHHH', 'iiiiiiiiii', '1,024 MiB']) {
      const { width, first, last } = darkColumns(drawPng(textSvg(text, weight)));
      t.is(width, 800);
      // The figure is drawn at twice its size. A character's advance has some blank on both sides.
      const drawn = (last - first) / 2;
      const thought = textWidth(text, 20, weight);
      t.true(Math.abs(drawn - thought) < 5, `${text}: ${drawn} drawn, ${thought} thought`);
    }
  });
}

test('nothing is drawn where there is no text', (t) => {
  t.is(darkColumns(drawPng(textSvg('', 400))).first, -1);
});

test('the font has every character of the charts', async (t) => {
  const metrics = fontFiles.map(readFontMetrics);
  const runs = await loadRuns([
    await makeRun(join(folder, 'a'), { samples: 8 }),
    await makeRun(join(folder, 'b'), { samples: 8, seed: 2 }),
  ]);
  const study = await loadStudy(await makeDensity(join(folder, 'density')));
  let characters = '';
  for (const chart of [...runCharts(runs), ...studyCharts(study)]) {
    const svg = await drawSvg(chart.id, compileChart(chart.id, figureSpec(chart, false)));
    for (const [, text] of svg.matchAll(/<text[^>]*>([^<]*)</g)) characters += text;
  }
  t.true(characters.length > 1000);
  for (const character of new Set(characters)) {
    for (const font of metrics) t.true(font.has(character), `“${character}”`);
  }
  t.false(metrics[0]!.has('\u{1F427}'));
});
