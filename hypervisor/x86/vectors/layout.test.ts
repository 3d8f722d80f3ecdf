import test from 'ava';
import { baseImage, imageOffset } from './image.ts';
import {
  cpuState,
  type LayoutName,
  layouts,
  localDescriptors,
  localSelector,
  locate,
  physicalLayout,
  segmentState,
  userSelectors,
} from './layout.ts';

/** Walks the page tables as SDM vol. 3, section 4.5 has it: the physical address, and the flags that all levels agree on. */
function walk(
  layout: LayoutName,
  linear: bigint,
): { physical: number; flags: bigint; noExecute: boolean } | undefined {
  const { pages } = physicalLayout(layout);
  const { cr3 } = cpuState(baseImage(1, 'plain'));
  let table = cr3;
  let flags = 7n;
  let noExecute = false;
  for (const shift of [39n, 30n, 21n, 12n]) {
    const page = pages.find(({ address }) => address === table);
    if (page === undefined) return undefined;
    const view = new DataView(page.bytes.buffer, page.bytes.byteOffset, 4096);
    const entry = view.getBigUint64(Number((linear >> shift) & 511n) * 8, true);
    if ((entry & 1n) === 0n) return undefined;
    flags &= entry;
    noExecute ||= entry >> 63n === 1n;
    table = Number(entry & 0xf_ffff_ffff_f000n);
  }
  return { physical: table, flags, noExecute };
}

for (const name of Object.keys(layouts) as LayoutName[]) {
  test(`the page tables of layout ${name} map its regions with their rights and nothing beside them`, (t) => {
    for (const region of layouts[name]) {
      for (let page = 0; page < region.pages; page++) {
        const linear = region.linear + page * 4096;
        const found = walk(name, BigInt(linear));
        t.is(found?.physical, locate(name, linear).physical, region.name);
        t.is(found?.flags, region.rights === 'rw' ? 7n : 5n, region.name);
        t.is(found?.noExecute, region.rights !== 'rx', region.name);
      }
      t.is(walk(name, BigInt(region.linear - 1)), undefined);
      t.is(walk(name, BigInt(region.linear + region.pages * 4096)), undefined);
    }
  });

  test(`the descriptor tables of layout ${name} are mapped for the supervisor alone`, (t) => {
    const { gdtr, idtr, ldtr, tr } = cpuState(baseImage(1, 'plain'));
    for (const { base } of [gdtr, idtr, ldtr, tr]) t.is(walk(name, base)?.flags, 3n);
  });
}

test('physical pages do not overlap', (t) => {
  for (const name of Object.keys(layouts) as LayoutName[]) {
    const addresses = physicalLayout(name).pages.map(({ address }) => address);
    t.is(new Set(addresses).size, addresses.length);
    t.true(addresses.every((address) => address % 4096 === 0));
  }
});

test('segment registers get base, limit and attributes from the descriptors', (t) => {
  t.deepEqual(segmentState(userSelectors.code64), {
    selector: 0x33,
    base: 0n,
    limit: 0xffff_ffff,
    attributes: 0xa0fb,
  });
  t.deepEqual(segmentState(userSelectors.data), {
    selector: 0x2b,
    base: 0n,
    limit: 0xffff_ffff,
    attributes: 0xc0f3,
  });
  const data16 = localSelector('data16');
  t.deepEqual(segmentState(data16), {
    selector: data16,
    base: 0x50_c000n,
    limit: 0xffff,
    attributes: 0x00f3,
  });
  const limited = localSelector('data32limited');
  t.deepEqual(segmentState(limited), {
    selector: limited,
    base: 0x50_0000n,
    limit: 0x1_27ff,
    attributes: 0x40f3,
  });
  t.deepEqual(segmentState(0), { selector: 0, base: 0n, limit: 0, attributes: 0 });
});

test('the tables in memory hold the descriptors that the segment registers were loaded from', (t) => {
  const { ldtr, gdtr } = cpuState(baseImage(1, 'plain'));
  const at = (base: bigint, index: number) => {
    const { physical } = walk('legacy', base)!;
    const { bytes } = physicalLayout('legacy').pages.find(({ address }) => address === physical)!;
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(8 * index, true);
  };
  for (const [index, { base, present }] of Object.values(localDescriptors).entries()) {
    const bits = at(ldtr.base, index);
    t.is(Number(((bits >> 16n) & 0xff_ffffn) | ((bits >> 56n) << 24n)), base);
    t.is((bits >> 47n) & 1n, present ? 1n : 0n);
  }
  t.is(at(gdtr.base, 6), 0x00af_fb00_0000_ffffn);
  t.is(ldtr.limit, Object.keys(localDescriptors).length * 8 - 1);
});

test('FS and GS have the bases of the image, the others those of their descriptors', (t) => {
  const image = baseImage(1, 'plain');
  const view = new DataView(image.buffer);
  view.setBigUint64(imageOffset.fsBase, 0x1234_5678_9abcn, true);
  view.setUint16(imageOffset.selectors + 2 * 3, localSelector('data16'), true);
  const { segments } = cpuState(image);
  t.is(segments[4]!.base, 0x1234_5678_9abcn);
  t.is(segments[3]!.base, 0x50_c000n);
});
