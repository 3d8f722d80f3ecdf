import { mkdtempSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { run } from './command.ts';
import { modulesAlias, modulesDep, readModinfo, selectModules } from './modules.ts';

/** A 64-bit ELF file with the sections "", ".modinfo" and ".shstrtab", as small as can be. */
function elf(modinfo: string): Buffer {
  const names = Buffer.from('\0.modinfo\0.shstrtab\0');
  const info = Buffer.from(modinfo.replaceAll(' ', '\0'));
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeBigUInt64LE(BigInt(64 + names.length + info.length), 0x28);
  header.writeUInt16LE(64, 0x3a);
  header.writeUInt16LE(3, 0x3c);
  header.writeUInt16LE(2, 0x3e);
  const section = (name: number, offset: number, length: number) => {
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32LE(name, 0);
    bytes.writeBigUInt64LE(BigInt(offset), 0x18);
    bytes.writeBigUInt64LE(BigInt(length), 0x20);
    return bytes;
  };
  return Buffer.concat([
    ...[header, names, info, section(0, 0, 0)],
    ...[section(1, 64 + names.length, info.length), section(10, 64, names.length)],
  ]);
}

const folder = mkdtempSync(join(tmpdir(), 'pagefold-modules-'));
test.after.always(() => rm(folder, { recursive: true }));

const put = async (path: string, data: Uint8Array | string) => {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), data);
};
test.before(async () => {
  await put('modules.builtin', 'kernel/drivers/core-part.ko\n');
  await put('kernel/net/net-card.ko', elf('license=GPL depends=bus,helper alias=pci:v1* alias=card '));
  await put('kernel/bus.ko.gz', gzipSync(elf('depends=ring ')));
  await put('kernel/helper.ko.zst', zstdCompressSync(elf('depends=ring,core-part ')));
  await put('kernel/ring.ko', elf('depends= name=ring '));
  await put('kernel/unused.ko', elf('depends= '));
});

test('modinfo is read from the section of that name', (t) => {
  t.deepEqual(readModinfo(elf('depends=a-b,c aliased=x alias=y ')), {
    depends: ['a_b', 'c'],
    aliases: ['y'],
  });
});

test('a file that is no module is refused', (t) => {
  t.throws(() => readModinfo(new Uint8Array(100)), { message: /no 64-bit ELF/ });
});

test('a module comes after all that it needs, unpacked, without what is built in', async (t) => {
  const modules = await selectModules(folder, ['net-card', 'core_part'], 'package');
  t.deepEqual(
    modules.map(({ path }) => path),
    ['kernel/ring.ko', 'kernel/bus.ko', 'kernel/helper.ko', 'kernel/net/net-card.ko'],
  );
  t.deepEqual(Buffer.from(modules[1]!.data), elf('depends=ring '));
  t.is(
    modulesDep(modules),
    'kernel/ring.ko:\n' +
      'kernel/bus.ko: kernel/ring.ko\n' +
      'kernel/helper.ko: kernel/ring.ko\n' +
      'kernel/net/net-card.ko: kernel/helper.ko kernel/bus.ko kernel/ring.ko\n',
  );
  t.is(modulesAlias(modules), 'alias pci:v1* net_card\nalias card net_card\n');
});

test('modules packed by xz, as in newer Debian releases, are unpacked', async (t) => {
  await put('kernel/late.ko', elf('depends= '));
  t.is((await run('xz', ['--check=crc32', 'kernel/late.ko'], folder)).status, 0);
  const [late] = await selectModules(folder, ['late'], 'package');
  t.deepEqual([late!.path, Buffer.from(late!.data)], ['kernel/late.ko', elf('depends= ')]);
});

test('a module that the kernel package lacks is named', async (t) => {
  await t.throwsAsync(() => selectModules(folder, ['virtio_pci'], 'linux-image-x'), {
    name: 'UserError',
    message: /^linux-image-x: module virtio_pci: the kernel package has no such module.* Remedy: /,
  });
});
