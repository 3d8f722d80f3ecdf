import test from 'ava';
import { withSection } from './results.ts';

test('a section is added at the end, and replaced where it stands', (t) => {
  const two = withSection(withSection('# Head\n', 'a', 'one'), 'b', 'two');
  t.is(two, '# Head\n\n<!-- begin a -->\none\n<!-- end a -->\n\n<!-- begin b -->\ntwo\n<!-- end b -->\n');
  t.is(withSection(two, 'a', 'new\n'), two.replace('one', 'new'));
});
