import test from 'ava';
import { RF, TF } from '../flags.ts';
import * as layout from '../layout.ts';
import { END, ended, places, selectors, TestMachine } from '../testing/machine.ts';

const NOP = 0x90;
const { code, data } = places;
/** Data that is watched: it does not share a page with stacks or code. */
const watched = data + 0x800;
const DR = (number: number) => layout.dr + 8 * number;

/** R/W codes and LEN codes of DR7. */
const rw = { execute: 0, write: 1, port: 2, access: 3 } as const;
const length = { 1: 0, 2: 1, 4: 3, 8: 2 } as const;

/** DR7 with breakpoint 0 enabled. */
function dr7(type: keyof typeof rw, size: keyof typeof length = 1): number {
  return 0x402 | (rw[type] << 16) | (length[size] << 18);
}

/**
 * A machine with breakpoint 0 at `address`. Its debug handler shows the pushed RIP and DR6's low bits in `met`, sets RF in the
 * image, and returns.
 */
function withBreakpoint(address: number, control: number, mode: 'long' | 'protected' = 'long') {
  const m = new TestMachine(mode);
  m.vcpu.set64(DR(0), BigInt(address));
  m.vcpu.set64(DR(7), BigInt(control));
  const met: [number, number][] = [];
  const item = mode === 'long' ? 8 : 4;
  m.write(data, [
    // XCHG EAX, [ESP]; OUT 1, EAX; XCHG EAX, [ESP]; OR BYTE [ESP + flags + 2], 1
    ...[0x87, 0x04, 0x24, 0xe7, 1, 0x87, 0x04, 0x24, 0x80, 0x4c, 0x24, 2 * item + 2, 1],
    ...(mode === 'long' ? [0x48, 0xcf] : [0xcf]),
  ]);
  m.gate(1, { selector: mode === 'long' ? selectors.long0 : selectors.code0, offset: data, type: 14 });
  m.onPortWrite = (port, value) => {
    if (port === 1) met.push([value - code, m.vcpu.get32(DR(6)) & 0xe00f]);
  };
  m.vcpu.setGpr(3, BigInt(watched));
  return { m, met };
}

/** MOV EAX, [RBX + d] and MOV [RBX + d], EAX of 1, 2, 4 and 8 bytes. */
const load = (size: 1 | 2 | 4 | 8, d = 0) => [...prefix(size), size === 1 ? 0x8a : 0x8b, 0x43, d & 255];
const store = (size: 1 | 2 | 4 | 8, d = 0) => [...prefix(size), size === 1 ? 0x88 : 0x89, 0x43, d & 255];
const prefix = (size: number) => (size === 2 ? [0x66] : size === 8 ? [0x48] : []);

test('a data breakpoint on writes traps behind the instruction that writes, and not on reads', (t) => {
  const { m, met } = withBreakpoint(watched, dr7('write', 4));
  m.program(...load(4), ...store(4), NOP, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[6, 1]]);
});

test('a data breakpoint on accesses traps behind reads and writes', (t) => {
  const { m, met } = withBreakpoint(watched, dr7('access', 1));
  m.program(...load(1), NOP, ...store(1), NOP, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [
    [3, 1],
    [7, 1],
  ]);
});

test('breakpoints cover 1, 2, 4 and 8 aligned bytes, and are met by accesses that overlap', (t) => {
  for (const size of [1, 2, 4, 8] as const) {
    for (const by of [1, 2, 4, 8] as const) {
      for (let d = -9; d <= 9; d++) {
        // The address is aligned to the length: its low bits do not count.
        const { m, met } = withBreakpoint(watched + size - 1, dr7('write', size));
        m.program(...store(by, d), ...END);
        t.is(m.run(), ended);
        t.is(met.length, d < size && d + by > 0 ? 1 : 0, `${by} bytes at ${d}, breakpoint of ${size}`);
        m.free();
      }
    }
  }
});

test('an access across a page end meets a breakpoint in either page', (t) => {
  for (const at of [watched | 0xfff, (watched | 0xfff) + 1]) {
    const { m, met } = withBreakpoint(at, dr7('access', 1));
    m.vcpu.setGpr(3, BigInt(watched | 0xfff));
    m.program(...store(4), ...load(4), ...END);
    t.is(m.run(), ended);
    t.deepEqual(met, [
      [3, 1],
      [6, 1],
    ]);
  }
});

test('what is read from and written to a page with a breakpoint is right', (t) => {
  const { m } = withBreakpoint(watched, dr7('access', 1));
  m.put(watched + 8, 8, 0x1122_3344_5566_7788n);
  m.vcpu.setGpr(0, 0xdddd_cccc_bbbb_aaaan);
  // MOV [RBX + 16], RAX; ADD [RBX + 8], RAX; MOV RAX, [RBX + 8]
  m.program(0x48, 0x89, 0x43, 16, 0x48, 0x01, 0x43, 8, 0x48, 0x8b, 0x43, 8, ...END);
  t.is(m.run(), ended);
  t.is(m.get64(watched + 16), 0xdddd_cccc_bbbb_aaaan);
  t.is(m.vcpu.gpr(0), BigInt.asUintN(64, 0x1122_3344_5566_7788n + 0xdddd_cccc_bbbb_aaaan));
});

test('a repeated string instruction traps behind the element that meets the breakpoint', (t) => {
  const { m, met } = withBreakpoint(watched + 5, dr7('write', 1));
  m.vcpu.setGpr(7, BigInt(watched));
  m.vcpu.setGpr(1, 16n);
  m.program(0xf3, 0xaa, NOP, ...END);
  t.is(m.run(), ended);
  // Its RIP is that of the instruction, which goes on afterwards.
  t.deepEqual(met, [[0, 1]]);
  t.is(m.vcpu.gpr(1), 0n);
});

test('several breakpoints are told together', (t) => {
  const { m, met } = withBreakpoint(watched, dr7('write', 4));
  m.vcpu.set64(DR(3), BigInt(watched + 2));
  m.vcpu.set64(DR(7), BigInt((dr7('write', 4) | 0x80 | (rw.access << 28)) >>> 0));
  m.program(...store(4), ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[3, 9]]);
});

test('a breakpoint and a single step make one trap', (t) => {
  const { m, met } = withBreakpoint(watched, dr7('write', 4));
  m.vcpu.rflags = TF;
  m.program(...store(4), ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[3, 0x4001]]);
});

test('a fault takes the place of the trap of an access that came before it', (t) => {
  const { m, met } = withBreakpoint(watched, dr7('access', 1));
  // MOVSB from the watched byte to an address that is not canonical.
  m.vcpu.setGpr(6, BigInt(watched));
  m.vcpu.setGpr(7, 0x8000_0000_0000n);
  t.is(m.runToHandler(0xa4).vector, 13);
  t.deepEqual(met, []);
});

test('behind MOV SS the trap waits for the next instruction', (t) => {
  const { m, met } = withBreakpoint(watched, dr7('access', 2));
  m.put(watched, 2, selectors.data0);
  // MOV SS, [RBX]; NOP; NOP
  m.program(0x8e, 0x13, NOP, NOP, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[3, 1]]);
});

test('behind MOV SS and INT n the trap comes in the handler', (t) => {
  const { m, met } = withBreakpoint(watched, dr7('access', 2));
  m.put(watched, 2, selectors.data0);
  m.gate(0x80, { selector: selectors.long0, offset: code + 0x100, type: 14 });
  m.write(code + 0x100, [NOP, ...END]);
  m.program(0x8e, 0x13, 0xcd, 0x80);
  t.is(m.run(), ended);
  t.deepEqual(met, [[0x100, 1]]);
});

test('pushes of an event meet breakpoints', (t) => {
  const { m, met } = withBreakpoint(places.ist + 0x2000 - 8, dr7('write', 8));
  m.gate(0x80, { selector: selectors.long0, offset: code + 0x100, type: 14, count: 2 });
  m.write(code + 0x100, [NOP, ...END]);
  m.program(0xcd, 0x80);
  t.is(m.run(), ended);
  t.deepEqual(met, [[0x100, 1]]);
});

test('a breakpoint on an instruction stops before it, once', (t) => {
  const { m, met } = withBreakpoint(code + 2, dr7('execute'));
  m.program(NOP, NOP, NOP, NOP, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[2, 1]]);
});

test('the image that is pushed at an instruction breakpoint has no RF', (t) => {
  const m = new TestMachine('protected');
  m.vcpu.set64(DR(0), BigInt(code + 1));
  m.vcpu.set64(DR(7), BigInt(dr7('execute')));
  const { vector, frame } = m.runToHandler(NOP, NOP);
  t.is(vector, 1);
  t.deepEqual(frame.slice(0, 3), [code + 1, selectors.code0, 2]);
  t.is(m.vcpu.get32(DR(6)) & 0xe00f, 1);
});

test('an instruction breakpoint is met at each turn of a loop, by jumps within the page and from others', (t) => {
  const { m, met } = withBreakpoint(code + 5, dr7('execute'));
  // MOV ECX, 3; DEC ECX; JNZ -4
  m.program(0xb9, 3, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc, ...END);
  t.is(m.run(), ended);
  t.deepEqual(
    met.map(([at]) => at),
    [5, 5, 5],
  );
});

test('an instruction breakpoint counts for the first byte, also of an instruction across pages', (t) => {
  const { m, met } = withBreakpoint(code + 0xffe, dr7('execute'));
  m.vcpu.set64(DR(1), BigInt(code + 0xfff));
  m.vcpu.set64(DR(7), BigInt(dr7('execute') | 8));
  m.vcpu.set64(layout.rip, BigInt(code + 0xffd));
  m.program(NOP, 0xb8, 1, 0, 0, 0, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[0xffe, 1]]);
});

test('a repeated instruction at a breakpoint is stopped before its first element only', (t) => {
  const { m, met } = withBreakpoint(code, dr7('execute'));
  m.vcpu.setGpr(7, BigInt(watched));
  m.vcpu.setGpr(1, 4n);
  m.program(0xf3, 0xaa, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[0, 1]]);
});

test('a fault at a breakpoint pushes RF, so that its instruction is not stopped again', (t) => {
  const { m, met } = withBreakpoint(code, dr7('execute'));
  m.gate(6, { selector: selectors.long0, offset: code + 0x100, type: 14 });
  const images: number[] = [];
  // OUT shows the image; then the instruction is replaced by NOPs and executed again.
  m.write(code + 0x100, [0x8b, 0x44, 0x24, 16, 0xe7, 2, 0x48, 0xcf]);
  m.onPortWrite = (port, value) => {
    if (port === 1) met.push([value - code, 0]);
    else {
      images.push(value);
      m.write(code, [NOP, NOP]);
    }
  };
  m.program(0x0f, 0x0b, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[0, 0]]);
  t.deepEqual(images, [RF | 2]);
});

test('the instruction behind MOV SS is not stopped at a breakpoint', (t) => {
  const { m, met } = withBreakpoint(code + 2, dr7('execute'));
  m.vcpu.setGpr(3, BigInt(selectors.data0));
  m.program(0x8e, 0xd3, NOP, NOP, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, []);
});

test('breakpoints on ports exist with CR4.DE', (t) => {
  for (const cr4 of [0x20n, 0x28n]) {
    const { m, met } = withBreakpoint(0x12, dr7('port', 2));
    m.vcpu.set64(layout.cr4, cr4);
    // OUT 0x11, AX overlaps; IN AL, 0x13; OUT 0x14, AL does not; OUT DX, AL
    m.program(0x66, 0xe7, 0x11, NOP, 0xe4, 0x13, NOP, 0xe6, 0x14, NOP, ...END);
    t.is(m.run(), ended);
    t.deepEqual(
      met.map(([at]) => at),
      cr4 === 0x28n ? [3, 6] : [],
    );
  }
});

test('MOV to DR7 makes a breakpoint work from the next instruction on', (t) => {
  const { m, met } = withBreakpoint(0, 0x400);
  m.vcpu.setGpr(0, BigInt(code + 13));
  m.vcpu.setGpr(2, BigInt(dr7('execute')));
  // STORE; MOV DR0, RAX; MOV DR7, RDX; NOP; NOP; …
  m.program(...store(4), 0x0f, 0x23, 0xc0, 0x0f, 0x23, 0xfa, NOP, NOP, NOP, NOP, NOP, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[13, 1]]);
});

test('MOV from and to debug registers: reserved bits, and DR4 and DR5', (t) => {
  const m = new TestMachine('long');
  m.vcpu.setGpr(0, 0xffff_fffen);
  m.vcpu.setGpr(1, 0xffff_df00n);
  m.vcpu.setGpr(2, 0x1234_5678_9abc_def0n);
  // MOV DR6, RAX; MOV DR7, RCX; MOV DR3, RDX; MOV RSI, DR4; MOV RDI, DR5; MOV RBP, DR3
  m.program(
    ...[0x0f, 0x23, 0xf0, 0x0f, 0x23, 0xf9, 0x0f, 0x23, 0xda],
    ...[0x0f, 0x21, 0xe6, 0x0f, 0x21, 0xef, 0x0f, 0x21, 0xdd, ...END],
  );
  t.is(m.run(), ended);
  t.is(m.vcpu.gpr(6), 0xffff_effen);
  t.is(m.vcpu.gpr(7), 0xffff_0700n);
  t.is(m.vcpu.gpr(5), 0x1234_5678_9abc_def0n);
});

test('MOV to DR6 and DR7 with a bit above 31 is #GP(0)', (t) => {
  for (const register of [0xf0, 0xf8]) {
    const m = new TestMachine('long');
    m.vcpu.setGpr(0, 1n << 32n);
    const { vector, frame } = m.runToHandler(0x0f, 0x23, register);
    t.deepEqual([vector, frame[0]], [13, 0]);
  }
});

test('MOV of DR4 and DR5 is #UD with CR4.DE, of any outside of level 0 #GP(0)', (t) => {
  const m = new TestMachine('long');
  m.vcpu.set64(layout.cr4, 0x28n);
  t.is(m.runToHandler(0x0f, 0x21, 0xe0).vector, 6);
  const user = new TestMachine('long');
  user.atLevel(3);
  t.is(user.runToHandler(0x0f, 0x23, 0xc0).vector, 13);
});

test('with DR7.GD an access to a debug register is a #DB fault with DR6.BD, and its handler runs without GD', (t) => {
  const m = new TestMachine('long');
  m.vcpu.set64(DR(7), 0x2400n);
  const { vector, frame } = m.runToHandler(0x0f, 0x21, 0xc0);
  t.is(vector, 1);
  t.deepEqual([frame[0], frame[2]], [code, RF | 2]);
  t.is(m.vcpu.get32(DR(6)) & 0xe00f, 0x2000);
  t.is(m.vcpu.get32(DR(7)), 0x400);
});

test('INT1 goes through vector 1 whatever the gate’s DPL, behind itself, and leaves DR6', (t) => {
  const m = new TestMachine('long');
  m.atLevel(3);
  const { vector, frame } = m.runToHandler(0xf1);
  t.is(vector, 1);
  t.is(frame[0], code + 1);
  t.is(m.vcpu.get32(DR(6)) & 0xe00f, 0);
});

test('a breakpoint costs no time beyond its handler’s', (t) => {
  const plain = new TestMachine('long');
  plain.touch();
  plain.program(NOP, NOP, NOP, NOP, NOP, NOP);
  plain.vcpu.run(0, 5);
  const { m } = withBreakpoint(code + 0x800, dr7('execute'));
  m.touch();
  m.program(NOP, NOP, NOP, NOP, NOP, NOP);
  m.vcpu.run(0, 5);
  t.is(m.vcpu.elapsed, plain.vcpu.elapsed);
  t.is(m.vcpu.get64(layout.rip), plain.vcpu.get64(layout.rip));
});

test('protected mode: data and instruction breakpoints are linear addresses', (t) => {
  const { m, met } = withBreakpoint(watched, dr7('write', 4), 'protected');
  m.program(...store(4), NOP, ...END);
  t.is(m.run(), ended);
  t.deepEqual(met, [[3, 1]]);
});
