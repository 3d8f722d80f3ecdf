import test from 'ava';
import { COSTS, CostError, costNames, costs } from './costs.ts';

test('without changes, every constant has its default', (t) => {
  const model = costs();
  t.deepEqual(Object.keys(model), [...costNames]);
  for (const name of costNames) t.is(model[name], COSTS[name].value);
  t.is(model.exitUser, 1200);
  t.is(model.cowBreak, 4000);
});

test('a change by name leaves the others as they are', (t) => {
  const model = costs({ cowBreak: 25_100, virtioService: 0 });
  t.is(model.cowBreak, 25_100);
  t.is(model.virtioService, 0);
  t.is(model.firstTouch, 3600);
  t.is(costs().cowBreak, 4000);
});

test('an unknown name is refused with the names that there are', (t) => {
  const error = t.throws(() => costs({ cowbreak: 1 }), { instanceOf: CostError });
  t.regex(error.message, /no cost 'cowbreak'; the costs are exitLight, exitUser, .*swapInCpu$/);
  t.throws(() => costs({ toString: 1 }), { instanceOf: CostError });
});

for (const value of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 100_000_001, '5', null, undefined]) {
  test(`${typeof value} ${value} is no cost`, (t) => {
    t.throws(() => costs({ interrupt: value }), {
      instanceOf: CostError,
      message: `cost interrupt is ${value}; give a whole number of nanoseconds from 0 to 100000000`,
    });
  });
}

test('every constant says what it means and where it comes from', (t) => {
  for (const name of costNames) {
    const { meaning, source, basis } = COSTS[name];
    t.true(meaning.length > 20 && source.length > 10, name);
    t.true(['read', 'derived', 'estimate'].includes(basis));
  }
});
