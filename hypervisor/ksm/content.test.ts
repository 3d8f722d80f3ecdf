import { Buffer } from 'node:buffer';
import test from 'ava';
import fc from 'fast-check';
import xxhash from 'xxhash-wasm';
import { HostMemory, pageSize } from '../memory/hostmemory.ts';
import { contentOf } from './content.ts';

const memory = new HostMemory(1 << 20, 1 << 20);
const content = contentOf(memory);
const a = memory.framesStart;
const b = a + pageSize;
const result = memory.allocate(8);

/** Pages that are random, or random in a few places only. */
const pages = fc
  .tuple(
    fc.uint8Array({ minLength: 64, maxLength: 64 }),
    fc.array(fc.tuple(fc.nat(pageSize - 1), fc.nat(255)), { maxLength: 4 }),
  )
  .map(([pattern, places]) => {
    const page = Buffer.alloc(pageSize, pattern);
    for (const [at, value] of places) page[at] = value;
    return page;
  });

test('the hash is XXH64 with seed 0', async (t) => {
  const reference = await xxhash();
  fc.assert(
    fc.property(pages, (page) => {
      memory.u8.set(page, a);
      content.hash(a, result);
      t.is(memory.u64[result >> 3]!, reference.h64Raw(page, 0n));
    }),
    { seed: 1, numRuns: 200 },
  );
});

test('the hash of the page of zeros is the one that Linux and everyone else computes', async (t) => {
  const reference = await xxhash();
  memory.u8.fill(0, a, a + pageSize);
  content.hash(a, result);
  t.is(memory.u64[result >> 3]!, reference.h64Raw(new Uint8Array(pageSize), 0n));
});

test('pages are ordered as memcmp orders them', (t) => {
  fc.assert(
    fc.property(
      pages,
      fc.nat(pageSize - 1),
      fc.nat(255),
      pages,
      fc.boolean(),
      (one, at, value, two, near) => {
        const other = near ? Buffer.from(one) : two;
        if (near) other[at] = value;
        memory.u8.set(one, a);
        memory.u8.set(other, b);
        t.is(Math.sign(content.compare(a, b)), Buffer.compare(one, other));
        t.is(Math.sign(content.compare(b, a)), Buffer.compare(other, one));
      },
    ),
    { seed: 2, numRuns: 500 },
  );
});

test('a difference in any single byte is seen', (t) => {
  memory.u8.fill(7, a, a + 2 * pageSize);
  for (let at = 0; at < pageSize; at++) {
    memory.u8[b + at] = 8;
    if (content.compare(a, b) >= 0) t.fail(`byte ${at}`);
    memory.u8[b + at] = 7;
  }
  t.is(content.compare(a, b), 0);
});
