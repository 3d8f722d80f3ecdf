import test from 'ava';
import { parseOptions } from './options.ts';
import { profilePart, profileTable } from './profiletable.ts';
import { Samples } from './samples.ts';
import { measures } from './session.ts';
import type { Session } from './table.ts';

function session(only: string): Session {
  const samples = new Samples();
  const sample = { peer: 'pagefold', round: 1 };
  samples.add({ ...sample, measure: measures.profile('boot', 'translated'), value: 1500 });
  samples.add({ ...sample, measure: measures.profile('boot', 'decoder'), value: 500 });
  samples.add({ ...sample, measure: measures.profile('sh'), failure: 'lost' });
  const own = {
    ...{ name: 'pagefold', description: '', several: true },
    start: () => Promise.reject(new Error('not to be started')),
  };
  const { plan } = parseOptions(['--only', only, '--rounds', '1'])!;
  return { own, others: [], absent: [], plan, samples };
}

test('the table has the parts of the time; a profile that failed says why', (t) => {
  const rows = profileTable(session('boot,sh,awk')).split('\n');
  t.is(rows[0], "| the main thread's time, % | boot | sh |");
  t.is(rows[2], '| translated code | 75.0 | – |');
  t.true(rows.includes('| decoder | 25.0 | – |'));
  t.is(rows.at(-2), '| seconds | 2.00 | failed: lost |');
});

test('a run without the boot has no profile', (t) => {
  t.is(profilePart(session('boot,sh')).length, 2);
  t.deepEqual(profilePart(session('sh,fork')), []);
});
