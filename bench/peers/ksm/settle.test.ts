import test from 'ava';
import { Settling } from './settle.ts';

test('counters have settled when ten full scans change them by no more than 0.2 %', (t) => {
  const settling = new Settling(0);
  t.false(settling.look(1, 1000));
  t.false(settling.look(10, 1001));
  t.true(settling.look(11, 1002));
});

test('a change begins the wait anew, and nothing merged is nothing settled', (t) => {
  const settling = new Settling(3);
  t.false(settling.look(20, 0));
  t.false(settling.look(21, 500));
  t.false(settling.look(30, 600));
  t.false(settling.look(31, 600));
  t.true(settling.look(40, 600));
});
