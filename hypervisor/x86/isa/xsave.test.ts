/** FXSAVE and the XSAVE family: what needs control registers, privilege or XCR0, and areas in odd places. */
import test from 'ava';
import fc from 'fast-check';
import { xsaveBytes, xsaveLeaf } from '../core/xsave.ts';
import * as exceptions from '../exceptions.ts';
import * as layout from '../layout.ts';
import { CR0, CR4 } from '../mode.ts';
import { codeAt, dataAt, deviceAt, FlatMachine, words } from './flatmachine.ts';

const machine = new FlatMachine();
const { vcpu } = machine;

const XSAVE = '0f ae 27';
const XSAVEOPT = '0f ae 37';
const XRSTOR = '0f ae 2f';
const FXSAVE = '0f ae 07';
const FXRSTOR = '0f ae 0f';
const XGETBV = '0f 01 d0';
const XSETBV = '0f 01 d1';
const [EAX, ECX, EDX] = [0, 1, 2];

/** Puts values into ST(0), XMM1 and MXCSR. */
function fill(): void {
  vcpu.set32(layout.ftag, 0x80);
  vcpu.set32(layout.ftop, 7);
  vcpu.bytes(layout.fpr + 16 * 7, 10).set([1, 2, 3, 4, 5, 6, 7, 0x88, 9, 0x40]);
  vcpu.bytes(layout.xmmOffset(1), 16).fill(0x11);
  vcpu.set32(layout.mxcsr, 0x1fa0);
}

/** Runs code with EDX:EAX = `components`, the data area holding `byte` everywhere but in the header. */
function withArea(code: string, components: number, byte = 0xcc): number | undefined {
  machine.write(dataAt, new Uint8Array(xsaveBytes).fill(byte));
  machine.write(dataAt + 512, new Uint8Array(64));
  return execute(code, components);
}

function execute(code: string, components: number): number | undefined {
  vcpu.setGpr(EAX, BigInt(components));
  vcpu.setGpr(EDX, 0n);
  return machine.run(code);
}

const header = () => machine.read(dataAt + 512, 1)[0];

test.beforeEach(() => machine.reset());

test.serial('the XSAVE family needs CR4.OSXSAVE and heeds CR0.TS, not CR0.EM', (t) => {
  for (const code of [XSAVE, XSAVEOPT, XRSTOR]) {
    machine.reset();
    vcpu.set64(layout.cr0, BigInt(CR0.PE | CR0.EM));
    t.is(withArea(code, 3, 0), undefined);
    vcpu.set64(layout.cr0, BigInt(CR0.PE | CR0.TS));
    t.is(withArea(code, 3, 0), exceptions.NM);
    vcpu.set64(layout.cr4, BigInt(CR4.OSFXSR));
    t.is(withArea(code, 3, 0), exceptions.UD);
  }
  for (const code of [XGETBV, XSETBV]) t.is(execute(code, 3), exceptions.UD);
});

test.serial('XSETBV takes what XCR0 can hold, at privilege level 0', (t) => {
  vcpu.setGpr(ECX, 0n);
  for (const value of [1, 3]) {
    t.is(execute(XSETBV, value), undefined);
    t.is(vcpu.get64(layout.xcr0), BigInt(value));
  }
  for (const value of [0, 2, 5, 7, 0x203]) t.is(execute(XSETBV, value), exceptions.GP);
  vcpu.setGpr(ECX, 1n);
  t.is(execute(XSETBV, 3), exceptions.GP);
  t.is(execute(XGETBV, 0), exceptions.GP);
  vcpu.setGpr(ECX, 0n);
  t.is(execute(XGETBV, 0), undefined);
  t.deepEqual([vcpu.gpr(EAX), vcpu.gpr(EDX)], [3n, 0n]);
  for (const number of [layout.SS, layout.CS]) {
    const segment = vcpu.segment(number);
    vcpu.setSegment(number, {
      ...segment,
      selector: segment.selector | 3,
      attributes: segment.attributes | 0x60,
    });
  }
  vcpu.stateChanged();
  t.is(execute(XSETBV, 3), exceptions.GP);
  t.is(execute(XGETBV, 0), exceptions.GP, 'the HLT behind it');
});

test.serial('XSAVE writes the requested components and keeps the rest of the area', (t) => {
  fill();
  t.is(withArea(XSAVE, 1), undefined);
  t.is(header(), 1);
  t.deepEqual([...machine.read(dataAt + 32, 16)], [1, 2, 3, 4, 5, 6, 7, 0x88, 9, 0x40, 0, 0, 0, 0, 0, 0]);
  t.deepEqual([...machine.read(dataAt + 24, 8)], Array(8).fill(0xcc));
  t.deepEqual([...machine.read(dataAt + 176, 4)], Array(4).fill(0xcc));
  t.is(withArea(XSAVE, 2), undefined);
  t.is(header(), 2);
  t.deepEqual([...machine.read(dataAt + 24, 8)], [0xa0, 0x1f, 0, 0, 0xff, 0xff, 0, 0]);
  t.deepEqual([...machine.read(dataAt + 176, 4)], Array(4).fill(0x11));
  t.deepEqual([...machine.read(dataAt, 4)], Array(4).fill(0xcc));
  t.deepEqual([...machine.read(dataAt + 416, 96)], Array(96).fill(0xcc));
});

test.serial('XSTATE_BV tells what is in use; bits that are not requested stay', (t) => {
  t.is(withArea(XSAVE, 3), undefined);
  t.is(header(), 0);
  fill();
  machine.write(dataAt + 512, [2]);
  t.is(execute(XSAVE, 1), undefined);
  t.is(header(), 3);
});

test.serial('XSAVEOPT leaves out what is in its initial state', (t) => {
  vcpu.bytes(layout.xmmOffset(1), 16).fill(0x11);
  t.is(withArea(XSAVEOPT, 3), undefined);
  t.is(header(), 2);
  t.deepEqual([...machine.read(dataAt, 4)], Array(4).fill(0xcc));
  t.deepEqual([...machine.read(dataAt + 176, 4)], Array(4).fill(0x11));
});

test.serial('XRSTOR takes up what XSAVE wrote, and initializes what XSTATE_BV lacks', (t) => {
  fill();
  t.is(withArea(XSAVE, 3), undefined);
  machine.reset();
  t.is(execute(XRSTOR, 3), undefined);
  t.deepEqual([...vcpu.bytes(layout.fpr + 16 * 7, 10)], [1, 2, 3, 4, 5, 6, 7, 0x88, 9, 0x40]);
  t.deepEqual(
    [vcpu.get32(layout.ftop), vcpu.get32(layout.ftag), vcpu.get32(layout.mxcsr)],
    [7, 0x80, 0x1fa0],
  );
  t.is(vcpu.bytes(layout.xmmOffset(1), 1)[0], 0x11);
  machine.write(dataAt + 512, [2]);
  t.is(execute(XRSTOR, 1), undefined);
  t.deepEqual([vcpu.get32(layout.ftop), vcpu.get32(layout.ftag), vcpu.get32(layout.fcw)], [0, 0, 0x37f]);
  t.is(vcpu.bytes(layout.fpr + 16 * 7, 1)[0], 0);
  t.is(vcpu.bytes(layout.xmmOffset(1), 1)[0], 0x11);
  machine.write(dataAt + 512, [0]);
  t.is(execute(XRSTOR, 2), undefined);
  t.is(vcpu.bytes(layout.xmmOffset(1), 1)[0], 0);
});

test.serial('XRSTOR refuses headers and MXCSR with bits that do not exist, and changes nothing', (t) => {
  const wrong: [offset: number, bytes: number[]][] = [
    [512, [7]],
    [519, [1]],
    [520, [1]],
    [527, [0x80]],
    [535, [1]],
    [26, [1]],
  ];
  for (const [offset, bytes] of wrong) {
    machine.reset();
    fill();
    t.is(withArea(XSAVE, 3, 0), undefined);
    machine.write(dataAt + offset, bytes);
    machine.reset();
    const before = [...vcpu.bytes(0, layout.architecturalSize)].slice(layout.xmm);
    t.is(execute(XRSTOR, 3), exceptions.GP, `offset ${offset}`);
    t.deepEqual([...vcpu.bytes(0, layout.architecturalSize)].slice(layout.xmm), before);
  }
  t.is(withArea(FXRSTOR, 0, 0xff), exceptions.GP);
});

test.serial('components that XCR0 lacks are neither saved nor accepted', (t) => {
  fill();
  vcpu.set64(layout.xcr0, 1n);
  t.is(withArea(XSAVE, 3), undefined);
  t.is(header(), 1);
  t.deepEqual([...machine.read(dataAt + 176, 4)], Array(4).fill(0xcc));
  machine.write(dataAt + 512, [3]);
  t.is(execute(XRSTOR, 3), exceptions.GP);
});

test.serial('misaligned areas raise #GP: 16 bytes for FXSAVE, 64 for XSAVE', (t) => {
  const displaced = (code: string, by: number) =>
    `${code.slice(0, 6)}${(Number.parseInt(code.slice(6), 16) | 0x40).toString(16)} ${by.toString(16).padStart(2, '0')}`;
  machine.write(dataAt, new Uint8Array(1024));
  for (const code of [FXSAVE, FXRSTOR]) {
    t.is(execute(displaced(code, 8), 3), exceptions.GP);
    t.is(execute(displaced(code, 16), 3), undefined);
  }
  for (const code of [XSAVE, XSAVEOPT, XRSTOR]) {
    t.is(execute(displaced(code, 32), 3), exceptions.GP);
    t.is(execute(displaced(code, 64), 3), undefined);
  }
});

test.serial('an area across two pages, and one in a device', (t) => {
  fill();
  const at = dataAt + 0x1000 - 256;
  const lea = (address: number) =>
    `bf ${[0, 8, 16, 24].map((by) => ((address >>> by) & 255).toString(16).padStart(2, '0')).join(' ')}`;
  t.is(execute(`${lea(at)} ${XSAVE}`, 3), undefined);
  t.is(machine.read(at + 512, 1)[0], 3);
  machine.reset();
  t.is(execute(`${lea(at)} ${XRSTOR}`, 3), undefined);
  t.is(vcpu.bytes(layout.xmmOffset(1), 1)[0], 0x11);
  machine.deviceWrites.length = 0;
  t.is(execute(`${lea(deviceAt)} ${FXSAVE}`, 3), undefined);
  const written = new Map(machine.deviceWrites);
  t.is(written.get(deviceAt + 176)! & 0xff, 0x11);
});

test.serial('64-bit pointers with REX.W, selectors without', (t) => {
  machine.reset(true);
  vcpu.set64(layout.fip, 0x1234_5678_9abcn);
  vcpu.set64(layout.fdp, 0x4321_8765_cba9n);
  vcpu.set32(layout.fcs, 0x33);
  vcpu.set32(layout.fds, 0x2b);
  t.is(machine.run(`48 ${FXSAVE}`), undefined);
  t.deepEqual([...machine.read(dataAt + 8, 16)], [...words(0x1234_5678_9abcn, 0x4321_8765_cba9n)]);
  t.is(machine.run(FXSAVE), undefined);
  t.deepEqual([...machine.read(dataAt + 8, 16)], [...words(0x33_5678_9abcn, 0x2b_8765_cba9n)]);
});

test('CPUID leaf 0DH: x87 and SSE in the standard format, with XSAVEOPT', (t) => {
  t.deepEqual(xsaveLeaf(0), { eax: 3, ebx: 576, ecx: 576, edx: 0 });
  t.deepEqual(xsaveLeaf(1), { eax: 1, ebx: 0, ecx: 0, edx: 0 });
  t.deepEqual(xsaveLeaf(2), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
});

test.serial('no area and no image crashes or leaves a state that cannot be', (t) => {
  const code = fc.constantFrom(FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XRSTOR, 'dd 27', 'dd 37', 'd9 27', 'd9 37');
  const at = fc.oneof(
    fc.constantFrom(
      dataAt,
      dataAt + 0xfc0,
      deviceAt - 512,
      deviceAt - 64,
      deviceAt,
      0xffff_ff00,
      0xffff_fff0,
    ),
    fc.integer({ min: 0, max: 0xffff_ffff }),
  );
  const image = fc.uint8Array({ minLength: xsaveBytes, maxLength: xsaveBytes });
  fc.assert(
    fc.property(code, at, image, fc.boolean(), (bytes, address, area, plainHeader) => {
      machine.reset();
      machine.write(dataAt, area);
      if (plainHeader) {
        machine.write(dataAt + 512, [area[512]! & 3, ...new Uint8Array(63)]);
        machine.write(dataAt + 24, [area[24]!, area[25]!, 0, 0]);
      }
      machine.write(codeAt, [...bytes.split(' ').map((each) => Number.parseInt(each, 16)), 0xf4]);
      vcpu.set64(layout.rip, BigInt(codeAt));
      vcpu.setGpr(EAX, 3n);
      vcpu.setGpr(7, BigInt(address));
      vcpu.run(0, 100);
      return (
        vcpu.get32(layout.ftop) < 8 &&
        (vcpu.get32(layout.ftag) & ~0xff) === 0 &&
        (vcpu.get32(layout.mxcsr) & ~0xffff) === 0 &&
        (vcpu.get32(layout.fcw) & ~0x1f7f) === 0
      );
    }),
    { seed: 576, numRuns: 2000 },
  );
  t.pass();
});
