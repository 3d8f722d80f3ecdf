import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { StateReader, StateWriter } from '../../state/state.ts';
import { TestDisk } from '../testing/disk.ts';
import type { BlockBackend } from './backend.ts';
import { FileDisk } from './file.ts';
import { OverlayDisk } from './overlay.ts';

function read(disk: BlockBackend, sector: number, count: number): Uint8Array {
  const bytes = new Uint8Array(512 * count);
  disk.read(sector, bytes);
  return bytes;
}

function saved(disk: BlockBackend): Uint8Array {
  const to = new StateWriter();
  disk.saveState(to);
  return to.finish();
}

test('an overlay keeps what is written to itself and leaves the image alone', (t) => {
  const image = new TestDisk(20, true);
  const one = new OverlayDisk(image);
  const other = new OverlayDisk(image);
  one.write(7, new Uint8Array(1024).fill(0xee));
  t.deepEqual(
    [...read(one, 6, 4)].filter((_, i) => i % 512 === 0),
    [6, 0xee, 0xee, 9],
  );
  t.deepEqual(read(other, 0, 20), image.bytes);
  t.is(one.ownBytes, 2 * 4096);
  t.false(one.readOnly);
});

test('whole zeroed blocks of an overlay take no memory and can be written again', (t) => {
  const disk = new OverlayDisk(new TestDisk(24));
  disk.zero(4, 16);
  t.deepEqual(
    [...read(disk, 0, 24)].filter((_, i) => i % 512 === 0),
    [0, 1, 2, 3, ...new Array(16).fill(0), 20, 21, 22, 23],
  );
  t.is(disk.ownBytes, 2 * 4096);
  disk.write(9, new Uint8Array(512).fill(1));
  t.deepEqual([read(disk, 8, 1)[0], read(disk, 9, 1)[0], read(disk, 10, 1)[0]], [0, 1, 0]);
});

test('an overlay of any history equals a plain disk, and its state is taken up whole', (t) => {
  const step = fc.record({
    kind: fc.constantFrom('write', 'zero'),
    sector: fc.nat({ max: 44 }),
    count: fc.integer({ min: 1, max: 20 }),
    value: fc.nat({ max: 255 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20, size: 'max' }), (steps) => {
      const sectors = 45;
      const overlay = new OverlayDisk(new TestDisk(sectors, true));
      const plain = new TestDisk(sectors);
      for (const { kind, sector, count, value } of steps) {
        const fitting = Math.min(count, sectors - sector);
        for (const disk of [overlay, plain]) {
          if (kind === 'zero') disk.zero(sector, fitting);
          else disk.write(sector, new Uint8Array(512 * fitting).fill(value));
        }
      }
      t.true(Buffer.from(read(overlay, 0, sectors)).equals(plain.bytes));
      const again = new OverlayDisk(new TestDisk(sectors, true));
      again.write(0, new Uint8Array(512 * sectors));
      again.loadState(new StateReader(saved(overlay)));
      t.true(Buffer.from(read(again, 0, sectors)).equals(plain.bytes));
      t.true(Buffer.from(saved(again)).equals(saved(overlay)));
    }),
    { seed: 36 },
  );
});

test('state of an overlay over another image size is refused', (t) => {
  const state = saved(new OverlayDisk(new TestDisk(8)));
  t.throws(() => new OverlayDisk(new TestDisk(9)).loadState(new StateReader(state)), {
    message: /8 sectors, the image has 9/,
  });
});

test('a file disk reads, writes and zeroes its file', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-disk-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'image');
  writeFileSync(path, new TestDisk(4000).bytes);
  const disk = new FileDisk(path, false);
  t.is(disk.sectors, 4000);
  t.false(disk.readOnly);
  t.deepEqual([read(disk, 5, 1)[0], read(disk, 5, 2)[512]], [5, 6]);
  disk.write(5, new Uint8Array(512).fill(0x77));
  disk.zero(100, 3000);
  disk.flush();
  const file = readFileSync(path);
  t.deepEqual(
    [4, 5, 6, 99, 100, 3099, 3100].map((sector) => file[512 * sector]),
    [4, 0x77, 6, 99, 0, 0, 3100 & 0xff],
  );
  disk.loadState(new StateReader(saved(disk)));
  disk.close();
});

test('a file disk that is read-only can be shared under overlays', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-disk-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'image');
  writeFileSync(path, new TestDisk(16).bytes);
  const image = new FileDisk(path, true);
  const overlay = new OverlayDisk(image);
  overlay.write(0, new Uint8Array(512).fill(1));
  t.true(image.readOnly);
  t.is(readFileSync(path)[0], 0);
  t.throws(() => image.write(0, new Uint8Array(512)), { message: /disk image .*image: cannot write: / });
  image.flush();
  image.close();
});

test('a file that is no disk image, missing, or cut while in use is named with the cause', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-disk-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'image');
  t.throws(() => new FileDisk(path, true), { message: /cannot open: ENOENT/ });
  writeFileSync(path, new Uint8Array(700));
  t.throws(() => new FileDisk(path, true), { message: /700 bytes are no whole number of sectors .* padded/ });
  writeFileSync(path, new Uint8Array(1024));
  const disk = new FileDisk(path, true);
  truncateSync(path, 512);
  t.throws(() => read(disk, 1, 1), { message: /the file ends before sector 1/ });
  disk.close();
});

test('a file disk refuses saved state of an image of another size', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-disk-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [two, nine] = [2, 9].map((sectors) => {
    const path = join(folder, `image${sectors}`);
    writeFileSync(path, new Uint8Array(512 * sectors));
    return new FileDisk(path, true);
  });
  t.throws(() => two!.loadState(new StateReader(saved(nine!))), {
    message: /image2 has 2 sectors, saved state was taken with 9; give the same image/,
  });
  two!.close();
  nine!.close();
});
