import test from 'ava';
import { Lab, pageOf } from '../testing/lab.ts';
import { Advisor } from './advisor.ts';

const defaults = { maxCpu: 70, minPages: 500, maxPages: 30_000, targetTime: 200 };
const ms = 1e6;

/**
 * What a running 6.18 did with 3000 pages: for each full scan its start and end and ksmd's CPU time in ms, and the `pages_to_scan` that
 * followed. The first scan counts all CPU time that ksmd has ever used.
 */
const recorded: readonly { target: number; scans: readonly (readonly [number, number, number, number])[] }[] =
  [
    {
      target: 1,
      scans: [
        [0, 363, 57_646, 70],
        [383, 2268, 57_663, 700],
        [2288, 2603, 57_676, 7000],
        [2623, 2843, 57_687, 30_000],
        [2863, 3065, 57_699, 30_000],
      ],
    },
    {
      target: 3,
      scans: [
        [0, 274, 57_740, 49],
        [294, 1960, 57_756, 490],
        [1980, 2244, 57_768, 4900],
        [2264, 2453, 57_782, 30_000],
      ],
    },
    { target: 200, scans: [[0, 302, 57_727, 10]] },
  ];

test('pages_to_scan follows as it did on Linux 6.18', (t) => {
  for (const { target, scans } of recorded) {
    const advisor = new Advisor();
    let pages = defaults.minPages;
    for (const [start, end, cpu, expected] of scans) {
      advisor.start(start * ms);
      pages = advisor.stop(end * ms, cpu * ms, pages, { ...defaults, targetTime: target });
      t.is(pages, expected, `target ${target} s, scan from ${start} ms`);
    }
  }
});

test('a scanner that is too slow is sped up to the bound of CPU use', (t) => {
  const advisor = new Advisor();
  advisor.start(0);
  // 10 s of scan at 20 % of a CPU with 1000 pages: 50 pages a percent.
  const pages = advisor.stop(10e9, 2e9, 1000, { ...defaults, targetTime: 1 });
  t.is(pages, 3000);
  advisor.start(10e9);
  t.is(advisor.stop(20e9, 4e9, 1000, { ...defaults, targetTime: 1 }), 3500);
});

test('ksmd asks the advisor behind each full scan', (t) => {
  const lab = new Lab({ frames: 4000 });
  lab.scanner.knobs.set('advisor_target_scan_time', 1);
  lab.scanner.knobs.set('advisor_mode', 'scan-time');
  lab.guest(Array.from({ length: 3000 }, (_, i) => pageOf(i + 1)));
  const pages: string[] = [];
  for (let scan = 0; scan < 3; scan++) {
    lab.scan();
    pages.push(lab.scanner.knobs.get('pages_to_scan'));
  }
  // 1 % of a CPU at most: 500 pages a percent.
  t.deepEqual(pages, ['5000', '30000', '30000']);
  const before = lab.save();
  lab.renew();
  t.deepEqual(lab.save(), before);
});
