/** Which accesses of real instructions are put into groups. */
import test from 'ava';
import { regionOf, views } from '../testing/instructions.ts';
import { GroupFinder } from './groups.ts';

const finder = new GroupFinder(views);

/** Groups of blocks of instructions; block 0 is entered. */
function groups(...of: Parameters<typeof regionOf>) {
  const region = regionOf(...of);
  return finder.find(
    region,
    region.blocks.map((_, number) => number),
  );
}

/** The same in words. */
function inWords(...of: Parameters<typeof groups>): string[] {
  const { grouped } = groups(...of);
  return grouped.map((each) =>
    each === undefined ? '-' : `${each.role} ${each.group}: ${each.offset} of ${each.length}`,
  );
}

const pushRbx = '53';
const popRbx = '5b';
const loadAtRsp8 = '48 8b 44 24 08';
const storeAtRsp8 = '48 89 44 24 08';
const loadAtRax = '48 8b 10';
const storeAtRax8 = '48 89 50 08';

test('pushes, what is at RSP, and pops are one group', (t) => {
  const sub16 = '48 83 ec 10';
  const add16 = '48 83 c4 10';
  t.deepEqual(inWords([[pushRbx, sub16, storeAtRsp8, loadAtRsp8, add16, popRbx]]), [
    'firstToWrite 0: 8 of 16',
    '-',
    'member 0: 0 of 16',
    'member 0: 0 of 16',
    '-',
    'member 0: 8 of 16',
  ]);
});

test('a frame pointer and LEA are known by what they were made of', (t) => {
  const frame = ['48 89 e5', '48 8b 45 f8', '48 8d 74 24 10', '8b 06', '48 8b 04 24'];
  t.deepEqual(inWords([frame]), [
    '-',
    'firstToRead 0: 0 of 28',
    '-',
    'member 0: 24 of 28',
    'member 0: 8 of 28',
  ]);
});

test('an index is part of the address, a register that is written ends a group', (t) => {
  const indexed = '8b 0c b8';
  const next = '8b 4c b8 04';
  const otherScale = '8b 4c f8 04';
  t.deepEqual(inWords([[indexed, otherScale, next]]), ['firstToRead 0: 0 of 8', '-', 'member 0: 4 of 8']);
  t.deepEqual(inWords([[indexed, 'ff c7', next]]), ['-', '-', '-']);
  t.deepEqual(inWords([[loadAtRax, '48 8b 40 08', '48 8b 40 10']]), [
    'firstToRead 0: 0 of 16',
    'member 0: 8 of 16',
    '-',
  ]);
});

test('a register that is set to a constant ends a group', (t) => {
  t.deepEqual(inWords([[loadAtRax, '48 c7 c0 10 00 00 00', loadAtRax]]), ['-', '-', '-']);
  t.deepEqual(inWords([[loadAtRax, '48 b8 10 00 00 00 00 00 00 00', loadAtRax]]), ['-', '-', '-']);
});

test('addresses that are too far apart, cut to 32 bits, or in FS and GS are not compared', (t) => {
  t.deepEqual(inWords([[loadAtRax, '48 8b 50 79']]), ['-', '-']);
  t.not(inWords([[loadAtRax, '48 8b 50 78']])[0], '-');
  t.deepEqual(inWords([['67 8b 10', '67 8b 50 04']]), ['-', '-']);
  t.deepEqual(inWords([['65 8b 10', '65 8b 50 04', '8b 10']]), ['-', '-', '-']);
});

test('a group ends where a routine of the core is called', (t) => {
  // STAC, which chooses another TLB set.
  t.deepEqual(inWords([[loadAtRax, '0f 01 cb', storeAtRax8]]), ['-', '-', '-']);
});

test('instructions with two accesses stand alone', (t) => {
  // PUSH [RAX] moves RSP all the same.
  t.deepEqual(inWords([[pushRbx, 'ff 30', popRbx]]), ['firstToWrite 0: 8 of 16', '-', 'member 0: 0 of 16']);
});

test('a group goes on into blocks that are reached from it alone', (t) => {
  const blocks = [[loadAtRax], [loadAtRax], [loadAtRax], [loadAtRax]];
  t.deepEqual(inWords(blocks, [[1, 2], [3], [3]]), [
    'firstToRead 0: 0 of 8',
    'member 0: 0 of 8',
    'member 0: 0 of 8',
    '-',
  ]);
  // A loop is entered from outside.
  t.deepEqual(inWords([[loadAtRax], [loadAtRax]], [[1], [1]]), ['-', '-']);
});

test('a page is not asked for its write tag for what is written on one way only', (t) => {
  t.deepEqual(inWords([[loadAtRax, loadAtRax], [storeAtRax8], []], [[1, 2]]), [
    'firstToRead 0: 0 of 8',
    'member 0: 0 of 8',
    '-',
  ]);
  t.is(inWords([[loadAtRax, storeAtRax8]])[0], 'firstToWrite 0: 0 of 16');
});

test('groups in use at the same time have different numbers, and accesses between keep their entries', (t) => {
  const atRdi = '8b 17';
  const { grouped, most } = groups([
    [loadAtRax, '8b 0b', atRdi, loadAtRax, atRdi, '8b 09', '8b 16', '8b 16'],
  ]);
  t.deepEqual(
    grouped.map((each) => each?.group),
    [0, undefined, 1, 0, 1, undefined, 0, 0],
  );
  t.is(most, 2);
});
