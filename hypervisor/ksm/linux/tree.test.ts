import test from 'ava';
import fc from 'fast-check';
import { HostMemory } from '../../memory/hostmemory.ts';
import { instantiate, startModule } from '../content.ts';
import { tree } from './layout.ts';
import { defineTree } from './tree.ts';

const memory = new HostMemory(1 << 16, 1 << 20);
const module = startModule(memory);
for (const [name, fn] of Object.entries(defineTree(module))) module.export(name, fn);
const routines = instantiate(module, memory) as unknown as {
  insert(root: number, parent: number, onLeft: number, record: number): void;
  erase(root: number, record: number): void;
  substitute(root: number, old: number, record: number): void;
};
const root = memory.allocate(4);
const recordBytes = 16;
const count = 200;
/** Records by number; number 0 is spare. */
const records = memory.allocate(count * recordBytes, 16);
const at = (number: number) => records + number * recordBytes;
const numberOf = (record: number) => (record - records) / recordBytes;
const read = (record: number, field: { offset: number }) => memory.u32[(record + field.offset) >> 2]!;
const isRed = (record: number) => memory.u8[record + tree.red.offset] === 1;

function insert(number: number): void {
  let parent = 0;
  let onLeft = 0;
  for (let each = memory.u32[root >> 2]!; each !== 0; ) {
    parent = each;
    onLeft = Number(number < numberOf(each));
    each = read(each, onLeft ? tree.left : tree.right);
  }
  routines.insert(root, parent, onLeft, at(number));
}

/** The numbers in order; throws when a rule of red-black trees is broken. */
function numbers(): number[] {
  const found: number[] = [];
  const blacks = (record: number, parent: number): number => {
    if (record === 0) return 1;
    if (read(record, tree.parent) !== parent) throw new Error('a parent link is wrong');
    if (isRed(record) && parent !== 0 && isRed(parent)) throw new Error('red below red');
    const left = blacks(read(record, tree.left), record);
    found.push(numberOf(record));
    const right = blacks(read(record, tree.right), record);
    if (left !== right) throw new Error('paths with different numbers of black records');
    return left + Number(!isRed(record));
  };
  const top = memory.u32[root >> 2]!;
  if (top !== 0 && isRed(top)) throw new Error('the root is red');
  blacks(top, 0);
  return found;
}

test('a tree stays ordered and balanced under insertions, erasures and substitutions', (t) => {
  const step = fc.record({
    kind: fc.constantFrom('in', 'in', 'out'),
    number: fc.integer({ min: 1, max: count - 1 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      memory.u32[root >> 2] = 0;
      const expected = new Set<number>();
      for (const { kind, number } of steps) {
        if (kind === 'in' && !expected.has(number)) {
          insert(number);
          expected.add(number);
        } else if (kind === 'out' && expected.has(number)) {
          routines.erase(root, at(number));
          expected.delete(number);
        }
        numbers();
      }
      t.deepEqual(
        numbers(),
        [...expected].sort((a, b) => a - b),
      );
    }),
    { seed: 3, numRuns: 60 },
  );
});

test('a record takes the place of another', (t) => {
  memory.u32[root >> 2] = 0;
  for (let number = 1; number < 50; number++) insert(number);
  const middle = memory.u32[root >> 2]!;
  // Record 0 is none of the tree's; it stands in for the root, then for a leaf.
  routines.substitute(root, middle, at(0));
  t.is(memory.u32[root >> 2], at(0));
  routines.substitute(root, at(0), middle);
  t.deepEqual(
    numbers(),
    Array.from({ length: 49 }, (_, i) => i + 1),
  );
  routines.substitute(root, at(1), at(0));
  t.deepEqual(numbers()[0], 0);
});
