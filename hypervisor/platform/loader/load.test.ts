import test from 'ava';
import fc from 'fast-check';
import { memoryMap } from '../memorymap.ts';
import { SparseMemory } from '../testing/sparsememory.ts';
import { BootError } from './booterror.ts';
import { type BootFiles, loadLinux } from './load.ts';

const MIB = 2 ** 20;
const RSDP = 0xe_0000;

interface Header {
  protocol?: number;
  xloadflags?: number;
  prefAddress?: number;
  initSize?: number;
  codeSize?: number;
}

/** A bzImage with a header as Debian's kernels have it and `codeSize` bytes of code, each its offset mod 251. */
function bzImage(header: Header = {}): Uint8Array {
  const codeSize = header.codeSize ?? 8192;
  const file = new Uint8Array(5 * 512 + codeSize);
  const view = new DataView(file.buffer);
  view.setUint8(0x1f1, 4);
  view.setUint32(0x1f4, codeSize / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, header.protocol ?? 0x020f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint8(0x234, 1);
  view.setUint16(0x236, header.xloadflags ?? 1, true);
  view.setUint32(0x238, 2047, true);
  view.setBigUint64(0x258, BigInt(header.prefAddress ?? 16 * MIB), true);
  view.setUint32(0x260, header.initSize ?? 8 * MIB, true);
  for (let i = 0; i < codeSize; i++) file[5 * 512 + i] = i % 251;
  return file;
}

function boot(files: Partial<BootFiles>, megabytes = 64) {
  const memory = new SparseMemory(megabytes * MIB);
  const all = {
    kernel: bzImage(),
    initrd: new Uint8Array(0),
    commandLine: '',
    rngSeed: new Uint8Array(0),
    ...files,
  };
  return { memory, state: loadLinux(all, memoryMap(megabytes * MIB), RSDP, memory) };
}

test('a kernel with a 64-bit entry point is entered there, with identity paging and flat segments', (t) => {
  const { memory, state } = boot({});
  t.is(state.mode, 'long');
  t.is(state.rip, 16 * MIB + 0x200);
  t.deepEqual(memory.bytes(16 * MIB, 300), bzImage().subarray(5 * 512, 5 * 512 + 300));
  t.deepEqual(state.selectors, { code: 0x10, data: 0x18 });
  t.is(memory.readU32(state.gdt.base + 0x14), 0x00af_9b00);
  t.is(memory.readU32(state.gdt.base + 0x1c), 0x00cf_9300);
  t.is(state.gdt.limit, 31);
  for (const address of [0, 0x2000, 16 * MIB, 0xfee0_0123, 0xffff_ffff]) {
    t.is(translate(memory, state.cr3, address), address);
  }
});

test('a kernel can be loaded at 1 MiB, and moves to where it wants to be by itself', (t) => {
  const { memory, state } = boot({ kernelAt: 'low' });
  t.is(state.rip, MIB + 0x200);
  t.deepEqual(memory.bytes(MIB, 300), bzImage().subarray(5 * 512, 5 * 512 + 300));
  t.true(memory.bytes(16 * MIB, 300).every((byte) => byte === 0));
});

/** A 4-level page walk to a 2 MiB page (SDM vol. 3, "4-Level Paging"). */
function translate(memory: SparseMemory, cr3: number, address: number): number {
  const entry = (table: number, index: number): number => {
    const value = memory.readU64(table + index * 8);
    if ((value & 3) !== 3) throw new Error('not present and writable');
    return value;
  };
  const pdpt = entry(cr3, 0) - 3;
  const directory = entry(pdpt, Math.floor(address / 2 ** 30)) - 3;
  const page = entry(directory, Math.floor(address / 2 ** 21) % 512);
  if ((page & 0x80) === 0) throw new Error('not a large page');
  return page - 0x83 + (address % 2 ** 21);
}

test('a kernel without a 64-bit entry point is entered in protected mode at its start', (t) => {
  for (const header of [{ xloadflags: 0 }, { protocol: 0x020b }]) {
    const { memory, state } = boot({ kernel: bzImage(header) });
    t.is(state.mode, 'protected');
    t.is(state.rip, 16 * MIB);
    t.is(state.cr3, 0);
    t.is(memory.readU32(state.gdt.base + 0x14), 0x00cf_9b00);
  }
});

test('the zero page carries the setup header, the memory map, the command line, the RSDP and a loader type', (t) => {
  const { memory, state } = boot({ commandLine: 'console=ttyS0 ä' });
  const page = state.rsi;
  t.deepEqual(memory.bytes(page + 0x1f1, 0x1f), bzImage().subarray(0x1f1, 0x210));
  t.is(memory.readU64(page + 0x70), RSDP);
  t.is(memory.bytes(page + 0x210, 1)[0], 0xff);
  t.is(memory.bytes(page + 0x1ef, 1)[0], 0, 'sentinel');
  const commandLine = memory.bytes(memory.readU32(page + 0x228), 17);
  t.is(new TextDecoder().decode(commandLine), 'console=ttyS0 ä\0');
  const count = memory.bytes(page + 0x1e8, 1)[0]!;
  const entries = Array.from({ length: count }, (_, i) => [
    memory.readU64(page + 0x2d0 + i * 20),
    memory.readU64(page + 0x2d8 + i * 20),
    memory.readU32(page + 0x2e0 + i * 20),
  ]);
  t.deepEqual(entries, [
    [0, 0xa_0000, 1],
    [0xa_0000, 0x6_0000, 2],
    [MIB, 63 * MIB, 1],
    [0xfec0_0000, 0x140_0000, 2],
  ]);
});

test('the initial RAM disk lies page-aligned at the end of memory or of what the kernel can reach', (t) => {
  const initrd = Uint8Array.from({ length: 5000 }, (_, i) => i % 253);
  const { memory, state } = boot({ initrd });
  const start = memory.readU32(state.rsi + 0x218);
  t.is(start, 64 * MIB - 8192);
  t.is(memory.readU32(state.rsi + 0x21c), 5000);
  t.deepEqual(memory.bytes(start, 5000), initrd);
  const large = boot({ initrd }, 3072);
  t.is(large.memory.readU32(large.state.rsi + 0x218), 0x7fff_e000);
});

test('without an initial RAM disk its fields are 0', (t) => {
  const { memory, state } = boot({});
  t.is(memory.readU32(state.rsi + 0x218), 0);
  t.is(memory.readU32(state.rsi + 0x21c), 0);
});

test('a seed is handed over as setup_data of type SETUP_RNG_SEED', (t) => {
  const rngSeed = Uint8Array.of(1, 2, 3, 4);
  const { memory, state } = boot({ rngSeed });
  const data = memory.readU64(state.rsi + 0x250);
  t.deepEqual([...memory.bytes(data, 20)], [0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4]);
  const none = boot({});
  t.is(none.memory.readU64(none.state.rsi + 0x250), 0);
});

const change = (at: number, value: number): Uint8Array => {
  const file = bzImage();
  file[at] = value;
  return file;
};

for (const [title, files, megabytes, message] of [
  ['an empty kernel', { kernel: new Uint8Array(0) }, 64, /^kernel: .*ends within the boot sector; .*again$/],
  ['a file that is no kernel', { kernel: change(0x1fe, 0) }, 64, /^kernel: .*no Linux kernel.*vmlinuz/],
  ['a header cut short', { kernel: bzImage().subarray(0, 0x230) }, 64, /^kernel: .*within the setup header/],
  ['a boot sector without HdrS', { kernel: change(0x202, 0) }, 64, /^kernel: .*no bzImage/],
  [
    'a protocol too old',
    { kernel: bzImage({ protocol: 0x0209 }) },
    64,
    /^kernel: boot protocol 2.09 is older/,
  ],
  ['a zImage', { kernel: change(0x211, 0) }, 64, /^kernel: .*zImage/],
  [
    'a header too short for its protocol',
    { kernel: change(0x201, 0x60) },
    64,
    /^kernel: .*header ends at 0x262/,
  ],
  ['a preferred address below 1 MiB', { kernel: bzImage({ prefAddress: 0x2000 }) }, 64, /^kernel: .*0x2000/],
  ['truncated code', { kernel: bzImage().subarray(0, 9000) }, 64, /^kernel: .*9000 bytes of the 10752/],
  ['memory below the need', {}, 20, /^memory: .*needs 8 MiB.*20 MiB; give the machine at least 24 MiB$/],
  ['a kernel placed out of reach', { kernel: bzImage({ prefAddress: 2 ** 60 }) }, 64, /^memory: /],
  ['an initrd too large', { initrd: new Uint8Array(41 * MIB) }, 64, /^initrd: .*at least 65 MiB$/],
  [
    'an initrd no machine holds',
    { initrd: { length: 3 * 2 ** 30 } as Uint8Array },
    3072,
    /^initrd: .*smaller/,
  ],
  [
    'a command line too long',
    { commandLine: 'x'.repeat(2048) },
    64,
    /^command line: .*2048 bytes.*at most 2047/,
  ],
  ['a zero in the command line', { commandLine: 'a\0b' }, 64, /^command line: .*zero/],
] as const) {
  test(`${title} is refused with its cause and remedy`, (t) => {
    t.throws(() => boot(files, megabytes), { instanceOf: BootError, message });
  });
}

test('a damaged header never does anything but boot or throw a BootError', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0x1f1, max: 0x270 }), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      (changes) => {
        const kernel = bzImage();
        for (const [at, value] of changes) kernel[at] = value;
        try {
          const { state } = boot({ kernel, initrd: new Uint8Array(10_000) });
          return state.rip >= MIB && state.rip < 64 * MIB;
        } catch (error) {
          if (error instanceof BootError) return true;
          throw error;
        }
      },
    ),
    { seed: 1, numRuns: 2000 },
  );
  t.pass();
});
