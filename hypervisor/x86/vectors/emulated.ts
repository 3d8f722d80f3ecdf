/** The emulated CPU as a machine that recorded vectors are run on. */
import { Books } from '../../memory/books.ts';
import { HostMemory, pageSize } from '../../memory/hostmemory.ts';
import { hashPage } from '../../memory/pagehash.ts';
import { Engine } from '../engine.ts';
import * as exceptions from '../exceptions.ts';
import * as exits from '../exits.ts';
import * as layout from '../layout.ts';
import { type Devices, Processors } from '../processors.ts';
import type { TranslationOptions } from '../translate/options.ts';
import type { Vcpu } from '../vcpu.ts';
import { fxOffset } from './image.ts';
import type { MemoryBytes, VectorMachine, VectorOutcome, VectorState } from './machine.ts';

const memorySize = 64 << 20;
const codeBytes = 64 << 20;

/** Registers of the state block, in the order of the vectors' segments. */
const segmentOrder = [layout.ES, layout.CS, layout.SS, layout.DS, layout.FS, layout.GS];

/** The emulated CPU, and what tests need to know of its translator. */
export interface EmulatedMachine extends VectorMachine {
  readonly engine: Engine;
  readonly vcpu: Vcpu;
  /** Whether the code that starts at a physical address is translated now, and whether it was entered as such. */
  translation(address: number): { readonly made: boolean; readonly entered: boolean };
}

/** Makes a machine of one vCPU, all memory and no devices. */
export function emulatedMachine(translate: false | TranslationOptions = false): EmulatedMachine {
  const memory = new HostMemory(memorySize, codeBytes + (16 << 20));
  const engine = new Engine(memory, hashPage(memory), codeBytes, translate);
  const space = new Books(memory).add([{ start: 0, length: memorySize / 2 }]);
  const nothing: Devices = {
    mmioRead: () => -1,
    mmioWrite: () => {},
    portRead: () => -1,
    portWrite: () => {},
    readCr8: () => 0,
    writeCr8: () => {},
    msrs: [],
    cpuidExits: () => {},
    tscChanged: () => {},
    hypervisorLeaf: () => undefined,
  };
  const processors = new Processors(engine, space, 1, () => nothing);
  const vcpu = processors.vcpus[0]!;
  vcpu.set32(layout.intercept, 1);

  const put = ({ address, bytes }: MemoryBytes): void => {
    for (let at = 0; at < bytes.length; ) {
      const page = Math.floor((address + at) / pageSize);
      const inPage = (address + at) % pageSize;
      const count = Math.min(bytes.length - at, pageSize - inPage);
      processors.contentsReplaced(page);
      memory.u8.set(bytes.subarray(at, at + count), space.touch(page) + inPage);
      at += count;
    }
  };
  const get = (address: number, length: number): Uint8Array => {
    const result = new Uint8Array(length);
    for (let at = 0; at < length; at += pageSize) {
      const frame = space.touch((address + at) / pageSize);
      result.set(memory.u8.subarray(frame, frame + Math.min(pageSize, length - at)), at);
    }
    return result;
  };

  return {
    run(state: VectorState, maxInstructions: number): VectorOutcome {
      for (const page of state.pages) put(page);
      for (const patch of state.patches) put(patch);
      load(vcpu, state);
      let exit = vcpu.run(0, maxInstructions);
      while (exit === exits.codeFull) {
        engine.makeRoom();
        exit = vcpu.run(0, maxInstructions);
      }
      const cpu = {
        gpr: BigUint64Array.from({ length: 16 }, (_, i) => vcpu.gpr(i)),
        rip: vcpu.get64(layout.rip),
        rflags: vcpu.rflags,
        segments: segmentOrder.map((number) => vcpu.segment(number)),
        fxsave: saveFx(vcpu),
      };
      if (exit !== exits.exception) return { cpu, exception: undefined };
      const vector = Number(vcpu.get64(layout.exitInfo));
      const hasCode = ((1 << vector) & 0x27d00) !== 0;
      return {
        cpu,
        exception: {
          vector,
          errorCode: hasCode ? vcpu.get32(layout.faultCode) : 0,
          cr2: vector === exceptions.PF ? vcpu.get64(layout.cr2) : 0n,
        },
      };
    },
    memory: get,
    engine,
    vcpu,
    translation(address: number) {
      const page = space.codeOf(Math.floor(address / pageSize));
      const offset = address % pageSize;
      if (page === 0) return { made: false, entered: false };
      const { translator } = engine;
      return { made: translator.isTranslated(page, offset), entered: translator.isUsed(page, offset) };
    },
  };
}

function load(vcpu: Vcpu, { cpu }: VectorState): void {
  vcpu.reset();
  for (let i = 0; i < 16; i++) vcpu.setGpr(i, cpu.gpr[i]!);
  vcpu.set64(layout.rip, cpu.rip);
  vcpu.rflags = cpu.rflags;
  for (const [i, number] of segmentOrder.entries()) vcpu.setSegment(number, cpu.segments[i]!);
  vcpu.setSegment(layout.LDTR, cpu.ldtr);
  vcpu.setSegment(layout.TR, cpu.tr);
  vcpu.set64(layout.gdtr, cpu.gdtr.base);
  vcpu.set64(layout.gdtr + 8, BigInt(cpu.gdtr.limit));
  vcpu.set64(layout.idtr, cpu.idtr.base);
  vcpu.set64(layout.idtr + 8, BigInt(cpu.idtr.limit));
  vcpu.set64(layout.cr0, BigInt(cpu.cr0 >>> 0));
  vcpu.set64(layout.cr3, BigInt(cpu.cr3 >>> 0));
  vcpu.set64(layout.cr4, BigInt(cpu.cr4 >>> 0));
  vcpu.set64(layout.efer, BigInt(cpu.efer));
  vcpu.set64(layout.xcr0, BigInt(cpu.xcr0));
  loadFx(vcpu, cpu.fxsave);
  vcpu.stateChanged();
}

const topShift = 11;
const topMask = 7 << topShift;

function loadFx(vcpu: Vcpu, image: Uint8Array): void {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const status = view.getUint16(fxOffset.fsw, true);
  const top = (status & topMask) >> topShift;
  vcpu.set32(layout.fcw, view.getUint16(fxOffset.fcw, true));
  vcpu.set32(layout.fsw, status & ~topMask);
  vcpu.set32(layout.ftop, top);
  vcpu.set32(layout.ftag, image[fxOffset.ftw]!);
  vcpu.set32(layout.fop, view.getUint16(fxOffset.fop, true));
  vcpu.set64(layout.fip, view.getBigUint64(fxOffset.fip, true));
  vcpu.set64(layout.fdp, view.getBigUint64(fxOffset.fdp, true));
  vcpu.set32(layout.mxcsr, view.getUint32(fxOffset.mxcsr, true));
  for (let i = 0; i < 8; i++) {
    const at = fxOffset.st + 16 * i;
    vcpu.bytes(layout.fpr + 16 * ((i + top) & 7), 10).set(image.subarray(at, at + 10));
  }
  vcpu.bytes(layout.xmm, 256).set(image.subarray(fxOffset.xmm, fxOffset.xmm + 256));
}

function saveFx(vcpu: Vcpu): Uint8Array {
  const image = new Uint8Array(512);
  const view = new DataView(image.buffer);
  const top = vcpu.get32(layout.ftop);
  view.setUint16(fxOffset.fcw, vcpu.get32(layout.fcw), true);
  view.setUint16(fxOffset.fsw, vcpu.get32(layout.fsw) | (top << topShift), true);
  image[fxOffset.ftw] = vcpu.get32(layout.ftag);
  view.setUint16(fxOffset.fop, vcpu.get32(layout.fop), true);
  view.setBigUint64(fxOffset.fip, vcpu.get64(layout.fip), true);
  view.setBigUint64(fxOffset.fdp, vcpu.get64(layout.fdp), true);
  view.setUint32(fxOffset.mxcsr, vcpu.get32(layout.mxcsr), true);
  for (let i = 0; i < 8; i++)
    image.set(vcpu.bytes(layout.fpr + 16 * ((i + top) & 7), 10), fxOffset.st + 16 * i);
  image.set(vcpu.bytes(layout.xmm, 256), fxOffset.xmm);
  return image;
}
