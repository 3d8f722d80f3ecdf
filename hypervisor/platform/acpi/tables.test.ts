import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { pciGsi, pciIsaIrq } from './dsdt.ts';
import { acpiTables, MAX_CPUS } from './tables.ts';

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

/** Follows the tables from the RSDP as an operating system does. */
function tables(cpus: number): Map<string, Uint8Array> {
  const { address, bytes } = acpiTables(cpus);
  const view = new DataView(bytes.buffer);
  const at = (offset: number): number => Number(view.getBigUint64(offset, true)) - address;
  const table = (start: number): Uint8Array => bytes.subarray(start, start + view.getUint32(start + 4, true));
  const xsdt = at(24);
  const found = new Map<string, Uint8Array>([['RSDP', bytes.subarray(0, 36)]]);
  const add = (start: number) =>
    found.set(Buffer.from(bytes.subarray(start, start + 4)).toString(), table(start));
  add(xsdt);
  for (let entry = xsdt + 36; entry < xsdt + table(xsdt).length; entry += 8) add(at(entry));
  const fadt = new DataView(found.get('FACP')!.buffer, found.get('FACP')!.byteOffset);
  add(fadt.getUint32(36, true) - address);
  add(Number(fadt.getBigUint64(140, true)) - address);
  return found;
}

test('the RSDP leads to all tables, whose checksums are right', (t) => {
  const found = tables(2);
  t.deepEqual([...found.keys()], ['RSDP', 'XSDT', 'FACP', 'APIC', 'FACS', 'DSDT']);
  for (const [name, bytes] of found) if (name !== 'FACS') t.is(sum(bytes), 0, name);
  t.is(sum(found.get('RSDP')!.subarray(0, 20)), 0);
  t.is(Buffer.from(found.get('RSDP')!.subarray(0, 8)).toString(), 'RSD PTR ');
});

test('the tables fit into their place at any number of processors, the FACS at a multiple of 64', (t) => {
  const { address, bytes } = acpiTables(MAX_CPUS);
  t.is(address % 16, 0);
  t.true(address >= 0xe_0000 && address + bytes.length <= 0x10_0000);
  const found = tables(MAX_CPUS);
  t.is((address + found.get('FACS')!.byteOffset) % 64, 0);
});

test('the FADT names the fixed hardware, no keyboard controller, no VGA, and a clock', (t) => {
  const bytes = tables(1).get('FACP')!;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  t.is(bytes.length, 276);
  t.is(view.getUint16(46, true), 9);
  t.is(view.getUint32(56, true), 0x600);
  t.is(view.getUint32(64, true), 0x604);
  t.is(view.getUint32(76, true), 0x608);
  t.is(view.getUint16(109, true), 0b101);
  t.is(bytes[108], 0x32);
  const flags = view.getUint32(112, true);
  t.is(flags & (1 << 20), 0, 'not hardware-reduced');
  t.is(flags & (1 << 4), 0, 'a fixed power button');
  t.not(flags & (1 << 10), 0, 'a reset register');
  t.deepEqual([...bytes.subarray(116, 129)], [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 6]);
});

test('the MADT lists the local APICs, the I/O APIC, and where IRQ 0, IRQ 9 and NMI go', (t) => {
  const bytes = tables(3).get('APIC')!;
  const entries: string[] = [];
  for (let at = 44; at < bytes.length; at += bytes[at + 1]!) {
    entries.push(Buffer.from(bytes.subarray(at, at + bytes[at + 1]!)).toString('hex'));
  }
  t.deepEqual(entries, [
    '0008000001000000',
    '0008010101000000',
    '0008020201000000',
    '010c00000000c0fe00000000',
    '020a000002000000' + '0000',
    '020a000909000000' + '0d00',
    '0406ff000001',
  ]);
});

test('PCI interrupt pins are spread over GSIs 16 to 23', (t) => {
  t.deepEqual(
    [0, 1, 2, 3].map((pin) => pciGsi(0, pin)),
    [16, 17, 18, 19],
  );
  t.is(pciGsi(31, 3), 18);
  t.deepEqual([pciIsaIrq(16), pciIsaIrq(17), pciIsaIrq(23)], [10, 11, 11]);
});

const iasl = spawnSync('iasl', ['-v']).status === 0 ? test : test.skip;

iasl('iasl disassembles every table and compiles the DSDT again without a warning', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pagefold-acpi-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  for (const cpus of [1, MAX_CPUS]) {
    for (const [name, bytes] of tables(cpus)) {
      if (name === 'RSDP') continue;
      writeFileSync(join(folder, `${name}.dat`), bytes);
      const run = spawnSync('iasl', ['-d', `${name}.dat`], { cwd: folder, encoding: 'utf8' });
      t.is(run.status, 0, run.stderr);
      t.notRegex(run.stdout + run.stderr, /error|warning|invalid|unknown/i);
    }
    const run = spawnSync('iasl', ['DSDT.dsl'], { cwd: folder, encoding: 'utf8' });
    t.regex(run.stdout, /Compilation successful. 0 Errors, 0 Warnings/, run.stdout + run.stderr);
  }
});
