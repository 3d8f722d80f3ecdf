import { readFile } from 'node:fs/promises';
import test from 'ava';
import { UserError } from '../../workloads/images/user-error.ts';
import { loadScenario, parseScenario, scenarioNames } from './load.ts';
import { guestPlans } from './resolve.ts';
import { formatSize, formatTime, size, time } from './units.ts';

/** A scenario that names most of what there is. Its lines are counted by the tests. */
const base = `name: quick
duration: 60s
sample: 500ms
host:
  memory: 320MiB
  cpus: 2
  swap: { size: 1GiB, device: nvme }
  ksm: { profile: linux-6.12, pages_to_scan: 1000, start: 10s }
  balloon: { policy: mom }
guests:
  - { name: web, count: 4, memory: 256MiB, workload: idle, stagger: 200ms }
`;

/** The message for the base scenario with one text in place of another, or with settings. */
async function complaint(from: string, to: string, set: readonly string[] = []): Promise<string> {
  if (!base.includes(from)) throw new Error(`the base has no ${from}`);
  try {
    await parseScenario('q.yaml', base.replace(from, to), { set });
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  return 'nothing';
}

/** Mistakes: what to replace by what, and the message without its list of known names. */
const mistakes: readonly (readonly [from: string, to: string, message: string])[] = [
  [
    'memory: 320',
    'memroy: 320',
    'q.yaml:5:3: host.memroy: there is no such key. Remedy: did you mean memory?',
  ],
  ['320MiB', '320', 'q.yaml:5:11: host.memory: 320 has no unit. Remedy: give a size with its unit'],
  [
    '320MiB',
    '320MB',
    "q.yaml:5:11: host.memory: '320MB' is not a size with its unit. Remedy: write it like 256MiB",
  ],
  ['320MiB', '9GiB', "q.yaml:5:11: host.memory: '9GiB' is impossible here: it must be 16MiB to 3GiB"],
  [
    '320MiB',
    '65537KiB',
    "q.yaml:5:11: host.memory: '65537KiB' is impossible here: it must be 16MiB to 3GiB in",
  ],
  ['cpus: 2', 'cpus: 0', 'q.yaml:6:9: host.cpus: 0 is less than 1. Remedy: give 1 or more.'],
  ['cpus: 2', 'cpus: two', "q.yaml:6:9: host.cpus: 'two' is not a number. Remedy: give a number."],
  ['nvme', 'nvem', "q.yaml:7:31: host.swap.device: 'nvem' is not understood. Remedy: did you mean nvme?"],
  [
    '{ size: 1GiB, device: nvme }',
    'nine',
    "q.yaml:7:9: host.swap: 'nine' is not understood. Remedy: did you mean none?",
  ],
  ['size: 1GiB, ', '', 'q.yaml:7:9: host.swap.size: the key is missing. Remedy: give a size with its unit'],
  [
    'linux-6.12',
    'linux-612',
    "q.yaml:8:19: host.ksm.profile: 'linux-612' is not understood. Remedy: did you mean linux-6.12?",
  ],
  [
    'pages_to_scan',
    'pages_to_scam',
    'q.yaml:8:31: host.ksm.pages_to_scam: there is no such key. Remedy: did you mean pages_to_scan?',
  ],
  [
    'linux-6.12',
    'linux-6.1, smart_scan: 0',
    'q.yaml:8:42: host.ksm.smart_scan: linux-6.1 has no such knob. Remedy: leave it out, or use the profile linux-6.8',
  ],
  [
    'linux-6.12',
    'linux-6.12, advisor_mode: scan-time',
    'q.yaml:8:71: host.ksm.pages_to_scan: it is the advisor that sets it. Remedy: leave it out',
  ],
  [
    'profile: linux-6.12, pages_to_scan: 1000',
    'scanner: linus',
    "q.yaml:8:19: host.ksm.scanner: no scanner is called 'linus'. Remedy: did you mean linux?",
  ],
  [
    'profile: linux-6.12, pages_to_scan: 1000',
    'scanner: ./no.ts',
    'q.yaml:8:19: host.ksm.scanner: there is no file ',
  ],
  [
    'policy: mom',
    'policy: mum',
    "q.yaml:9:22: host.balloon.policy: 'mum' is not understood. Remedy: did you mean mom?",
  ],
  [
    'policy: mom',
    'policy: static',
    'q.yaml:9:12: host.balloon.target: the policy static needs a target. Remedy: give one',
  ],
  [
    'count: 4',
    'image: debian-busibox',
    "q.yaml:11:25: guests.0.image: no guest image is called 'debian-busibox'. Remedy: did you mean debian-busybox?",
  ],
  ['idle', 'idel', "q.yaml:11:54: guests.0.workload: 'idel' is not understood. Remedy: did you mean idle?"],
  [
    'idle',
    '{ name: touchr }',
    "q.yaml:11:62: guests.0.workload.name: 'touchr' is not understood. Remedy: did you mean toucher?",
  ],
  ['idle', '{ name: idle, size: 1MiB }', 'q.yaml:11:68: guests.0.workload.size: there is no such key.'],
  [
    'stagger: 200ms',
    'stagger: 20s',
    'q.yaml:11:5: guests.0.start: not all guests are started before the end of the run.',
  ],
  ['duration: 60s\n', '', 'q.yaml:1:1: duration: the key is missing. Remedy: give a time with its unit'],
  ['500ms', '1.5us', "q.yaml:3:9: sample: '1.5us' is finer than the rounds of 100us"],
  ['500ms', '0s', "q.yaml:3:9: sample: '0s' is no time at all."],
  ['500ms', '2min', 'q.yaml:3:9: sample: longer than the whole run. Remedy: sample more often.'],
  [
    'name: quick',
    'name: Quick Start',
    "q.yaml:1:7: name: 'Quick Start' is not a name of small letters, digits and hyphens.",
  ],
  ['name: quick', 'name: quick\nname: slow', 'q.yaml:2:1: Map keys must be unique. Remedy: mend the YAML.'],
  ['name: quick', 'nam: quick', 'q.yaml:1:1: nam: there is no such key. Remedy: did you mean name?'],
  [
    'guests:',
    'phases: [{ at: 3s, do: jump }]\nguests:',
    "q.yaml:10:24: phases.0.do: 'jump' is not understood. Remedy: known here: start workload, set knobs,",
  ],
  [
    'guests:',
    'phases: [{ at: 3s, do: remove guests, guests: wbe-1 }]\nguests:',
    "q.yaml:10:47: phases.0.guests: no guest is called 'wbe-1'. Remedy: did you mean web-1?",
  ],
  [
    'guests:',
    'phases: [{ at: 3s, do: add guests, group: { name: web } }]\nguests:',
    'q.yaml:10:51: phases.0.group.name: another group has this name.',
  ],
  [
    'guests:',
    'phases: [{ at: 99s, do: set knobs, knobs: { run: 0 } }]\nguests:',
    'q.yaml:10:16: phases.0.at: after the end of the run.',
  ],
  [
    'guests:',
    'sweep: { guests.0.cout: [1] }\nguests:',
    'q.yaml:10:26: guests.0.cout: there is no such key. Remedy: did you mean count?',
  ],
  [
    'guests:',
    'sweep: { guests.0.count: 1 }\nguests:',
    'q.yaml:10:26: sweep.guests.0.count: 1 is not a list. Remedy: give a list.',
  ],
  [
    'guests:',
    'sweep: { guests.0.count: [1, x] }\nguests:',
    "q.yaml:10:30: guests.0.count: 'x' is not a number.",
  ],
  [
    'guests:',
    'slo: { fault_p98: 4ms }\nguests:',
    'q.yaml:10:8: slo.fault_p98: there is no such key. Remedy: did you mean fault_p90?',
  ],
];

test('mistakes are named with file, line, column, key and remedy', async (t) => {
  for (const [from, to, message] of mistakes) {
    const said = await complaint(from, to);
    t.true(said.startsWith(message), `${to}\n  wanted ${message}\n  got    ${said}`);
  }
});

test('mistakes of --set and of what is no scenario at all are named', async (t) => {
  const set = async (...settings: string[]) => complaint('quick', 'quick', settings);
  t.regex(await set('host.memory=9GiB'), /^--set host\.memory=9GiB: host\.memory: '9GiB' is impossible here/);
  t.regex(await set('host.memory.x=1'), /: '320MiB' stands where the key 'x' would be\./);
  t.regex(await set('guests.4.count=3'), /the list has 1 entries, counted from 0; there is none 4/);
  t.regex(await set('guests.0.count'), /^--set guests\.0\.count: this is not PATH=VALUE/);
  t.regex(await set('host.ksm=off', 'host.ksm.pages_to_scan=3'), /'off' stands where the key/);
  t.regex(await set('host.cost.firstTuch=3'), /did you mean firstTouch\?/);
  t.regex(await set('seed=['), /^--set seed=\[: the value is no YAML/);
  const error = await t.throwsAsync(() => parseScenario('q.yaml', '- 1\n', { set: [] }), {
    instanceOf: UserError,
  });
  t.regex(error.message, /^q\.yaml:1:1: this is no scenario/);
  const unknown = await t.throwsAsync(() => loadScenario('quickstrat', { set: [] }), {
    instanceOf: UserError,
  });
  t.regex(unknown.message, /no scenario has this name\. Remedy: did you mean quickstart\?/);
  const missing = await t.throwsAsync(() => loadScenario('no/such.yaml', { set: [] }), {
    instanceOf: UserError,
  });
  t.regex(missing.message, /^no\/such\.yaml: there is no such file/);
});

test('defaults are filled in, and units become bytes and ns', async (t) => {
  const { cells, axes, name } = await parseScenario('q.yaml', base, { set: [] });
  t.deepEqual(axes, []);
  t.is(name, 'quick');
  t.deepEqual(cells, [
    {
      parameters: {},
      scenario: {
        name: 'quick',
        seed: 1,
        duration: 60e9,
        sample: 5e8,
        warmup: 0,
        host: {
          memory: 320 * 2 ** 20,
          cpus: 2,
          swap: { size: 2 ** 30, device: 'nvme' },
          ksm: { scanner: 'linux', profile: 'linux-6.12', pages_to_scan: 1000, start: 10e9 },
          balloon: { policy: 'mom', free_page_reporting: false },
          cost: {},
        },
        guests: [
          {
            name: 'web',
            count: 4,
            image: 'debian-busybox',
            memory: 256 * 2 ** 20,
            cpus: 1,
            append: '',
            workload: { name: 'idle' },
            start: 0,
            stagger: 2e8,
          },
        ],
        phases: [],
        slo: {},
      },
    },
  ]);
});

test('--set goes over the file and makes what is not there', async (t) => {
  const set = ['host.ksm=off', 'host.cost.firstTouch=0', 'guests.0.count=2', 'guests.1.name=db', 'seed=7'];
  const { scenario } = (await parseScenario('q.yaml', base, { set })).cells[0]!;
  t.like(scenario, { seed: 7, host: { ksm: 'off', cost: { firstTouch: 0 } } });
  t.deepEqual(
    guestPlans(scenario).map(({ name, start }) => [name, start]),
    [
      ['web-1', 0],
      ['web-2', 2e8],
      ['db-1', 0],
    ],
  );
});

test('a sweep is a grid, its last axis changing fastest; --set fixes an axis', async (t) => {
  const text = `${base}sweep:\n  guests.0.count: [1, 2]\n  host.ksm: [off, { pages_to_scan: 9 }]\n`;
  const { cells, axes } = await parseScenario('q.yaml', text, { set: [] });
  t.deepEqual(
    axes.map(({ path }) => path),
    ['guests.0.count', 'host.ksm'],
  );
  t.deepEqual(
    cells.map(({ scenario: { guests, host } }) => [guests[0]!.count, host.ksm === 'off']),
    [
      [1, true],
      [1, false],
      [2, true],
      [2, false],
    ],
  );
  t.deepEqual(cells[3]!.parameters, { 'guests.0.count': 2, 'host.ksm': { pages_to_scan: 9 } });
  const fixed = await parseScenario('q.yaml', text, { set: ['guests.0.count=8'] });
  t.deepEqual(
    fixed.cells.map(({ parameters }) => Object.keys(parameters)),
    [['host.ksm'], ['host.ksm']],
  );
  const others = await parseScenario('q.yaml', text, { set: ['guests.0.count=[3, 5, 7]', 'host.ksm=off'] });
  t.deepEqual(
    others.cells.map(({ scenario: { guests, host } }) => [guests[0]!.count, host.ksm]),
    [
      [3, 'off'],
      [5, 'off'],
      [7, 'off'],
    ],
  );
  await t.throwsAsync(() => parseScenario('q.yaml', text, { set: ['guests.0.count=[3, x]'] }), {
    message: /^--set guests\.0\.count=\[3, x\]: guests\.0\.count: 'x' is not a number\./,
  });
  const many = `${base}sweep: { seed: [${Array.from({ length: 1001 }, (_, i) => i).join(',')}] }\n`;
  await t.throwsAsync(() => parseScenario('q.yaml', many, { set: [] }), { message: /it has 1001 runs/ });
});

test('phases are in the order of time, and added guests become a group that starts then', async (t) => {
  const text = `${base}phases:
  - { at: 30s, do: set knobs, knobs: { run: 0 } }
  - { at: 20s, do: add guests, group: { name: db, start: 1s, image: debian-redis, workload: { name: redis, pause: 2s } } }
  - { at: 10s, do: start workload, guests: [web-2, web-3], workload: { name: toucher, rate: max } }
  - { at: 40s, do: remove guests, guests: web }
`;
  const { scenario } = (await parseScenario('q.yaml', text, { set: [] })).cells[0]!;
  t.deepEqual(
    scenario.phases.map((phase) => [phase.at, phase.do]),
    [
      [10e9, 'start workload'],
      [30e9, 'set knobs'],
      [40e9, 'remove guests'],
    ],
  );
  t.like(scenario.phases[0], { guests: ['web-2', 'web-3'], workload: { name: 'toucher', rate: 'max' } });
  t.like(scenario.guests[1], { name: 'db', start: 21e9, workload: { name: 'redis', pause: 2000 } });
});

test('every scenario that is brought along can be loaded', async (t) => {
  const names = await scenarioNames();
  t.true(names.includes('quickstart'));
  for (const name of names) {
    const loaded = await loadScenario(name, { set: [] });
    t.is(loaded.name, name, 'the name is that of the file');
    t.truthy(loaded.cells[0]!.scenario.description);
    const text = await readFile(new URL(`../../workloads/scenarios/${name}.yaml`, import.meta.url), 'utf8');
    t.regex(text, /^# yaml-language-server: \$schema=\.\/scenario\.schema\.json\n/);
  }
});

test('sizes and times are read and written with their units', (t) => {
  t.is(size.parse('1.5GiB'), 1.5 * 2 ** 30);
  t.is(time.parse('0.1s'), 1e8);
  t.is(time.parse('2min'), 120e9);
  t.false(time.safeParse('1.5').success);
  t.false(size.safeParse('-1MiB').success);
  t.false(time.safeParse('9999999h').success);
  t.deepEqual([320 * 2 ** 20, 2 ** 30, 1000].map(formatSize), ['320MiB', '1GiB', '1000 bytes']);
  t.deepEqual([6e10, 5e8, 3600, 0, 23.17e9].map(formatTime), ['1min', '500ms', '3600ns', '0ns', '23.17s']);
});
