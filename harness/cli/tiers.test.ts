/** Translated or interpreted, a guest leaves the same traces in its TLB and its memory map: the host decides by them. */

import { readFile } from 'node:fs/promises';
import test from 'ava';
import type { Guest } from '../../hypervisor/guest.ts';
import { Host } from '../../hypervisor/host.ts';
import * as slots from '../../hypervisor/memory/slots.ts';
import * as layout from '../../hypervisor/x86/layout.ts';
import * as tlb from '../../hypervisor/x86/tlb.ts';
import { type TranslationOptions, usualTranslation } from '../../hypervisor/x86/translate/options.ts';
import { resolveImage } from '../../workloads/images/resolve.ts';

/** Traces after every 10 ms of a boot: tags of the TLB, and pages by whether they were accessed and written since the last look. */
async function traces(
  translate: false | TranslationOptions,
): Promise<{ tlb: BigUint64Array; pages: Uint8Array }[]> {
  const image = await resolveImage('debian-busybox');
  const host = new Host({ memory: 288 << 20, translate });
  const guest = host.addGuest({
    memory: 256 << 20,
    cpus: 1,
    seed: 1,
    epoch: 1_767_225_600,
    serialOutput: () => {},
    ports: [{ onOutput: () => {} }],
    disks: [],
    balloonFeatures: [],
  });
  guest.boot({
    kernel: await readFile(image.kernel),
    initrd: await readFile(image.initrd),
    commandLine: 'console=ttyS0 nokaslr',
  });
  const { space } = guest;
  const start = ((guest as Guest).cpus[0]!.vcpu.base + layout.stateSize) / 8;
  const result: { tlb: BigUint64Array; pages: Uint8Array }[] = [];
  while (host.time < 600e6) {
    host.run(host.time + 10e6);
    const tags = host.memory.u64.slice(start, start + tlb.size / 8).filter((_, i) => i % 4 !== 3);
    const pages = new Uint8Array(space.pageCount);
    for (let page = 0; page < space.pageCount; page++) {
      const slot = space.slot(page);
      pages[page] = slot & (slots.accessed | slots.dirty);
      if ((slot & slots.present) !== 0) space.setSlot(page, slot & ~slots.accessed);
    }
    space.stale = true;
    result.push({ tlb: new BigUint64Array(tags), pages });
  }
  return result;
}

test('what is accessed and written, and what is in the TLB, does not depend on the tier', async (t) => {
  const [translated, interpreted] = [await traces(usualTranslation), await traces(false)];
  t.is(translated.length, 60);
  for (const [i, { tlb: tags, pages }] of translated.entries()) {
    const other = interpreted[i]!;
    t.is(Buffer.compare(new Uint8Array(tags.buffer), new Uint8Array(other.tlb.buffer)), 0, `TLB at ${i}`);
    t.is(Buffer.compare(pages, other.pages), 0, `accessed pages at ${i}`);
  }
  const last = translated.at(-1)!;
  t.true(last.tlb.filter((tag) => tag !== 2n ** 64n - 1n).length > 100);
  t.true(last.pages.filter((flags) => flags !== 0).length > 100);
});
