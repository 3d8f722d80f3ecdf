import test from 'ava';
import { parseOptions } from './options.ts';

test('only a whole run of enough rounds is complete', (t) => {
  t.true(parseOptions([])!.complete);
  t.true(parseOptions(['--rounds', '5'])!.complete);
  for (const args of [['--quick'], ['--only', 'sh'], ['--peers', 'qemu'], ['--rounds', '1']]) {
    t.false(parseOptions(args)!.complete, args.join(' '));
  }
});

test('parts are chosen by their names', (t) => {
  const { plan } = parseOptions(['--only', 'awk,boot', '--rounds', '2'])!;
  t.deepEqual(
    plan.works.map(({ name }) => name),
    ['awk'],
  );
  t.true(plan.boot);
  t.false(plan.second);
  t.deepEqual(plan.together, []);
  t.is(plan.rounds, 2);
});

test('mistakes are told with their remedy', (t) => {
  t.throws(() => parseOptions(['--only', 'sh,gzipp']), {
    message: /^--only: there is no 'gzipp'\. Remedy: choose from boot/,
  });
  t.throws(() => parseOptions(['--peers', 'bochs']), { message: /^--peers: there is no 'bochs'/ });
  t.throws(() => parseOptions(['--rounds', '0']), { message: /^--rounds: '0' is no number of rounds/ });
  t.throws(() => parseOptions(['--fast']), { message: /--fast.*Remedy: see/ });
});
