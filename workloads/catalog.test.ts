import test from 'ava';
import { z } from 'zod';
import {
  imageNames,
  startRequest,
  WorkloadError,
  workloadParameters,
  workloadSchema,
  workloads,
} from './catalog.ts';

const parse = (given: object) => workloadSchema.parse(given);
const words = (given: object) => workloadParameters(parse(given), 7);

for (const [given, expected] of [
  [{ name: 'idle' }, 'pagefold.workload=idle pagefold.args=id=7'],
  [
    { name: 'toucher' },
    'pagefold.workload=toucher pagefold.args=id=7,unique=16384,rate=1000,write=20,seed=7',
  ],
  [
    { name: 'files', size: '1MiB', rate: 'max' },
    'pagefold.workload=files pagefold.args=id=7,equal=256:1048575,rate=max,seed=7',
  ],
  [
    { name: 'redis', pause: '2s' },
    'pagefold.workload=redis pagefold.args=keys=10000,size=1024,clients=4,requests=10000,pause=2000,rounds=0',
  ],
  [
    {
      name: 'recipe',
      area: [
        { zero: 1 },
        { equal: '8KiB', set: 3 },
        { within: 4, groups: 2 },
        { changing: 5, rate: 6 },
        { freed: 7 },
      ],
      pattern: 'hotcold',
      write_share: 0.07,
      hot_share: 0.2,
      hot_accesses: 0.8,
      rate: 10,
      seed: 2,
      working_set: '16KiB',
      duration: '1.5s',
      phases: [{ from: 2, working_set: 3, verify: '1min' }],
    },
    'pagefold.workload=recipe pagefold.args=id=7,zero=1,equal=2:3,within=4:2,changing=5:6,freed=7,' +
      'pattern=hotcold,rate=10,write=7,hot=20,heat=80,pages=4,seed=2097159,duration=1500/from=2,pages=3,verify=60000',
  ],
] as const) {
  test(`${given.name} as parameters of the kernel`, (t) => {
    t.is(words(given), expected);
  });
}

test('a request to start has the same arguments', (t) => {
  const text = new TextDecoder().decode(startRequest(parse({ name: 'toucher' }), 7));
  t.is(text, 'start toucher id=7,unique=16384,rate=1000,write=20,seed=7\n');
});

for (const [title, given, path, message] of [
  ['a workload that there is not', { name: 'tucher' }, ['name'], /'toucher'/],
  ['a key that there is not', { name: 'toucher', writes: 1 }, [], /writes/],
  ['a segment of no kind', { name: 'recipe', area: [{ uniqe: 1 }] }, ['area', 0], /a segment is one of/],
  [
    'a size without pages',
    { name: 'recipe', area: [{ unique: 0 }] },
    ['area', 0, 'unique'],
    /at least one page/,
  ],
  ['a part of a page', { name: 'toucher', working_set: '5000B' }, ['working_set'], /whole pages/],
  ['another unit', { name: 'toucher', duration: '5 sec' }, ['duration'], /500ms/],
  ['a share in percent', { name: 'toucher', write_share: 20 }, ['write_share'], /<=1/],
  ['three decimals of a share', { name: 'toucher', write_share: 0.205 }, ['write_share'], /two decimals/],
  ['freed pages before others', { name: 'recipe', area: [{ freed: 1 }, { zero: 1 }] }, ['area'], /come last/],
  [
    'a working set beyond the area',
    { name: 'toucher', working_set: '65MiB' },
    ['working_set'],
    /16384 pages/,
  ],
  ['a beginning without a working set', { name: 'toucher', from: 1 }, ['from'], /reaches beyond/],
  ['touching of nothing', { name: 'recipe', rate: 1 }, ['rate'], /no page to touch/],
  ['a phase behind one without end', { name: 'toucher', phases: [{}] }, ['duration'], /never begins/],
  [
    'a phase beyond the area',
    { name: 'toucher', duration: '1s', phases: [{ working_set: '65MiB' }] },
    ['phases', 0, 'working_set'],
    /16384 pages/,
  ],
  ['more of the file set than there is', { name: 'files', size: '65MiB' }, ['size'], /64MiB/],
  ['more clients than there may be', { name: 'redis', clients: 51 }, ['clients'], /<=50/],
] as const) {
  test(`refused: ${title}`, (t) => {
    const { error } = workloadSchema.safeParse(given);
    const issue = error?.issues[0];
    t.deepEqual(issue?.path, [...path]);
    t.regex(issue!.message, message);
  });
}

test('arguments that a guest has no room for are refused', (t) => {
  const phases = Array.from({ length: 8 }, () => ({
    pattern: 'sequential',
    rate: 1e6,
    from: 1000,
    working_set: 1000,
    verify: '1s',
    report: '1s',
    duration: '1s',
  }));
  const workload = parse({ name: 'toucher', duration: '1s', phases });
  t.throws(() => workloadParameters(workload, 7), { instanceOf: WorkloadError, message: /guests take 511/ });
});

test('every workload has an image, and every image a workload', async (t) => {
  const images = await imageNames();
  for (const { runsOn } of Object.values(workloads)) t.true(images.some(runsOn));
  for (const image of images) t.true(Object.values(workloads).some(({ runsOn }) => runsOn(image)));
  t.deepEqual(
    Object.entries(workloads)
      .filter(([, { runsOn }]) => runsOn('microguest'))
      .map(([name]) => name),
    ['idle', 'recipe'],
  );
});

test('the schema can be shown to editors', (t) => {
  const text = JSON.stringify(z.toJSONSchema(workloadSchema, { io: 'input' }));
  for (const name of Object.keys(workloads)) t.true(text.includes(`"${name}"`));
});
