/** All families. */
import type { Family } from '../family.ts';
import { addUndefined } from '../undefined.ts';
import * as integer from './integer.ts';

const plain = { flavours: ['plain'], undefined: addUndefined } as const;

export const families: readonly Family[] = [
  {
    name: 'arithmetic',
    table: integer.arithmeticTable,
    counts: { long: 4000, compat32: 1500, compat16: 1500 },
    ...plain,
  },
  {
    name: 'multiply',
    table: integer.multiplyTable,
    counts: { long: 1500, compat32: 500, compat16: 500 },
    ...plain,
  },
  {
    name: 'shift',
    table: integer.shiftTable,
    counts: { long: 2500, compat32: 800, compat16: 800 },
    ...plain,
  },
  { name: 'bit', table: integer.bitTable, counts: { long: 2000, compat32: 600, compat16: 600 }, ...plain },
  { name: 'move', table: integer.moveTable, counts: { long: 2000, compat32: 800, compat16: 800 }, ...plain },
  {
    name: 'string',
    table: integer.stringTable,
    counts: { long: 1500, compat32: 800, compat16: 800 },
    partialStores: true,
    ...plain,
  },
  {
    name: 'stack',
    table: integer.stackTable,
    counts: { long: 1000, compat32: 1000, compat16: 1000 },
    ...plain,
  },
  {
    name: 'branch',
    table: integer.branchTable,
    counts: { long: 1500, compat32: 800, compat16: 800 },
    ...plain,
  },
  { name: 'decimal', table: integer.bcdTable, counts: { compat32: 600, compat16: 400 }, ...plain },
];
