import test from 'ava';
import { KnobError, type KnobValue } from '../scanner.ts';
import { Lab, pageOf } from '../testing/lab.ts';

/** The value that a knob shows after a write, or the error. */
function write(lab: Lab, name: string, value: KnobValue): string {
  const { knobs } = lab.scanner;
  try {
    knobs.set(name, value);
  } catch (error) {
    if (error instanceof KnobError) return error.code;
    throw error;
  }
  return knobs.get(name);
}

test('names and defaults are those of Linux 6.18', (t) => {
  const { scanner } = new Lab({ knobs: { pages_to_scan: 100, run: 0 } });
  t.deepEqual(Object.fromEntries(scanner.knobs.names.map((name) => [name, scanner.knobs.get(name)])), {
    run: '0',
    pages_to_scan: '100',
    sleep_millisecs: '20',
    merge_across_nodes: '1',
    use_zero_pages: '0',
    max_page_sharing: '256',
    stable_node_chains_prune_millisecs: '2000',
    smart_scan: '1',
    advisor_mode: '[none] scan-time',
    advisor_max_cpu: '70',
    advisor_min_pages_to_scan: '500',
    advisor_max_pages_to_scan: '30000',
    advisor_target_scan_time: '200',
  });
});

test('older kernels lack the newer knobs', (t) => {
  const old = new Lab({ profile: 'linux-6.1' });
  t.is(write(old, 'smart_scan', 1), 'ENOENT');
  t.is(write(old, 'advisor_mode', 'scan-time'), 'ENOENT');
  t.is(write(old, 'use_zero_pages', 1), '1');
  t.is(write(new Lab({ profile: 'linux-6.8' }), 'advisor_mode', 'scan-time'), 'none [scan-time]');
  t.is(write(old, 'runs', 1), 'ENOENT');
});

/** What a running 6.18 answered to writes: the value shown afterwards, or the error. */
const answers: Record<string, readonly (readonly [KnobValue, string])[]> = {
  run: [
    ['2', '2'],
    ['3', 'EINVAL'],
    ['-1', 'EINVAL'],
    ['4294967296', 'EINVAL'],
    ['', 'EINVAL'],
  ],
  pages_to_scan: [
    ['0', '0'],
    ['+5', '5'],
    ['010', '10'],
    ['7\n', '7'],
    [' 7', 'EINVAL'],
    ['7 ', 'EINVAL'],
    ['0x10', 'EINVAL'],
    ['1.5', 'EINVAL'],
    ['-0', 'EINVAL'],
    ['4294967295', '4294967295'],
    ['4294967296', 'EINVAL'],
    ['abc', 'EINVAL'],
  ],
  sleep_millisecs: [
    ['0', '0'],
    ['4294967295', '4294967295'],
    ['4294967296', 'EINVAL'],
  ],
  merge_across_nodes: [
    ['0', '0'],
    ['1', '1'],
    ['2', 'EINVAL'],
    ['18446744073709551615', 'EINVAL'],
    ['18446744073709551616', 'ERANGE'],
    ['y', 'EINVAL'],
  ],
  use_zero_pages: [
    ['1', '1'],
    ['n', '0'],
    ['Y', '1'],
    ['off', '0'],
    ['on', '1'],
    ['010', '0'],
    ['true', '1'],
    ['2', 'EINVAL'],
    ['abc', 'EINVAL'],
    ['+5', 'EINVAL'],
    [true, '1'],
  ],
  max_page_sharing: [
    ['1', 'EINVAL'],
    ['2', '2'],
    ['257', '257'],
    ['2147483648', 'ERANGE'],
    ['-1', 'EINVAL'],
  ],
  stable_node_chains_prune_millisecs: [
    ['0', '0'],
    ['4294967296', 'EINVAL'],
  ],
  smart_scan: [
    ['0', '0'],
    ['none', '0'],
    ['3', 'EINVAL'],
    [false, '0'],
  ],
  advisor_mode: [
    ['scan-time', 'none [scan-time]'],
    ['none', '[none] scan-time'],
    ['1', 'EINVAL'],
    ['on', 'EINVAL'],
  ],
  advisor_max_cpu: [
    ['0', '0'],
    ['4294967296', '0'],
    ['18446744073709551615', '4294967295'],
    ['18446744073709551616', 'EINVAL'],
  ],
  advisor_min_pages_to_scan: [
    ['0', '0'],
    ['4294967296', '4294967296'],
    ['18446744073709551616', 'EINVAL'],
  ],
  advisor_max_pages_to_scan: [['1', '1']],
  advisor_target_scan_time: [
    ['0', 'EINVAL'],
    ['1', '1'],
    ['4294967296', '4294967296'],
  ],
};

test('writes are answered as Linux 6.18 answered them', (t) => {
  t.deepEqual(Object.keys(answers).sort(), [...new Lab().scanner.knobs.names].sort());
  for (const [name, cases] of Object.entries(answers)) {
    const lab = new Lab();
    for (const [value, answer] of cases) {
      t.is(write(lab, name, value), answer, `${name} ${JSON.stringify(value)}`);
    }
  }
});

test('what shapes the stable tree cannot change while pages are merged', (t) => {
  const lab = new Lab();
  lab.guest([pageOf(1), pageOf(1)]);
  lab.scan(2);
  t.is(write(lab, 'max_page_sharing', 10), 'EBUSY');
  t.is(write(lab, 'merge_across_nodes', 0), 'EBUSY');
  // The same value is no change.
  t.is(write(lab, 'max_page_sharing', 256), '256');
  t.is(write(lab, 'run', 2), '2');
  t.is(write(lab, 'max_page_sharing', 10), '10');
  t.is(write(lab, 'merge_across_nodes', 0), '0');
});

test('the advisor takes pages_to_scan over, and gives it back', (t) => {
  const lab = new Lab();
  lab.scanner.knobs.set('advisor_min_pages_to_scan', 777);
  lab.scanner.knobs.set('advisor_mode', 'scan-time');
  t.is(lab.scanner.knobs.get('pages_to_scan'), '777');
  t.is(write(lab, 'pages_to_scan', 10), 'EINVAL');
  lab.scanner.knobs.set('advisor_mode', 'none');
  t.is(lab.scanner.knobs.get('pages_to_scan'), '100');
});

test('run = 2 without frames to unmerge into stops ksmd and says so', (t) => {
  const lab = new Lab({ frames: 10 });
  const guest = lab.guest(Array.from({ length: 8 }, () => pageOf(1)));
  lab.scan(2);
  const filler = lab.memory.addSpace(8);
  for (let page = 0; lab.memory.freeFrames > 2; page++) lab.memory.write(filler, page, pageOf(50 + page));
  t.is(write(lab, 'run', 2), 'ENOMEM');
  t.is(lab.scanner.knobs.get('run'), '0');
  t.is(lab.memory.freeFrames, 0);
  for (let page = 0; page < 8; page++) t.deepEqual(lab.memory.read(guest, page), pageOf(1));
});
