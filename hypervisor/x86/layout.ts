/**
 * Where a vCPU's state stands in memory. All code, interpreted or translated, reaches it at fixed offsets
 * from one base address, so that code holds nothing of a particular vCPU.
 *
 * The first part is architectural state and is what a saved vCPU consists of; the second part is derived or
 * belongs to the run in progress.
 */

/** Number and size of a field of the state block. */
export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

const fields: Field[] = [];
let end = 0;

function field(name: string, size: number, alignment = Math.min(size, 8)): number {
  const offset = (end + alignment - 1) & -alignment;
  fields.push({ name, offset, size });
  end = offset + size;
  return offset;
}

/** RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15: 8 bytes each. */
export const gpr = field('gpr', 128, 16);
/** Offset of register number `index` (0 … 15). */
export const gprOffset = (index: number): number => gpr + 8 * index;

/** Offset of the next instruction in CS; up to date when no code runs. */
export const rip = field('rip', 8);
/** RFLAGS without the arithmetic flags CF, PF, AF, ZF, SF, OF; see `flags.ts` for those. */
export const systemFlags = field('systemFlags', 4);
/** The arithmetic flags in lazy form: kind, result, source; see `flags.ts`. */
export const ccOp = field('ccOp', 4);
export const ccDst = field('ccDst', 8);
export const ccSrc = field('ccSrc', 8);

/**
 * Segment registers: base (8), limit in bytes (4), attributes (4), selector (4) in 24 bytes each.
 * Attributes: descriptor bits 8 … 23 (type, S, DPL, P, …, AVL, L, D/B, G) as bits 0 … 15; see `segments.ts`.
 */
export const segments = field('segments', 24 * 8);
export const segmentSize = 24;
export const segmentLimit = 8;
export const segmentAttributes = 12;
export const segmentSelector = 16;
/** Numbers of the segment registers, as in ModRM.reg; LDTR and TR follow. */
export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;
/** Offset of a segment register's base. */
export const segmentOffset = (index: number): number => segments + segmentSize * index;
/** Descriptor tables: base (8), limit (2, in 8). */
export const gdtr = field('gdtr', 16);
export const idtr = field('idtr', 16);

export const cr0 = field('cr0', 8);
export const cr2 = field('cr2', 8);
export const cr3 = field('cr3', 8);
export const cr4 = field('cr4', 8);
export const xcr0 = field('xcr0', 8);
/** DR0 … DR7, 8 bytes each; 4 and 5 are not used. */
export const dr = field('dr', 64);
/** Page-directory-pointer entries loaded by a CR3 write in PAE paging (SDM vol. 3, 4.4.1). */
export const pdpte = field('pdpte', 32);

/** Model-specific registers that code reads often; the rest are in `msr.ts`. */
export const efer = field('efer', 8);
export const star = field('star', 8);
export const lstar = field('lstar', 8);
export const cstar = field('cstar', 8);
export const sfmask = field('sfmask', 8);
export const kernelGsBase = field('kernelGsBase', 8);
export const tscAux = field('tscAux', 8);
export const sysenterCs = field('sysenterCs', 8);
export const sysenterEsp = field('sysenterEsp', 8);
export const sysenterEip = field('sysenterEip', 8);
export const pat = field('pat', 8);
export const miscEnable = field('miscEnable', 8);
/** Added to virtual nanoseconds to give the time-stamp counter. */
export const tscOffset = field('tscOffset', 8);
/** MTRR state: what a guest writes is kept and read back; caching has no effect here. */
export const mtrr = field('mtrr', 8 * 32);

/** XMM0 … XMM15, 16 bytes each. */
export const xmm = field('xmm', 256, 16);
/** Offset of an XMM register. */
export const xmmOffset = (index: number): number => xmm + 16 * index;
/** x87 data registers by physical number: 10 bytes each in 16; MMX registers are their low 8 bytes. */
export const fpr = field('fpr', 128, 16);
export const mxcsr = field('mxcsr', 4);
/** x87 control word. */
export const fcw = field('fcw', 4);
/** x87 status word without TOP. */
export const fsw = field('fsw', 4);
/** x87 TOP, 0 … 7. */
export const ftop = field('ftop', 4);
/** x87 abridged tag: bit n set when physical register n is in use. */
export const ftag = field('ftag', 4);
/** x87 last opcode, instruction and data pointers. */
export const fop = field('fop', 4);
export const fip = field('fip', 8);
export const fdp = field('fdp', 8);
export const fcs = field('fcs', 4);
export const fds = field('fds', 4);

/** {@link shadows}: not 0 after STI or MOV SS until the next instruction is done (SDM vol. 3, 6.8.3). */
export const shadow = field('shadow', 4);
/** What waits during a shadow: after STI interrupts, after MOV SS and POP SS debug exceptions as well. */
export const shadows = { sti: 1, stack: 2 } as const;
/** Causes of a debug trap, as bits of DR6, that is due behind the last instruction; delivered by `run` (`core/debug.ts`). */
export const pendingDebug = field('pendingDebug', 4);
/**
 * An exception of an instruction that is not executed again, found while the host had to act before it could be delivered:
 * its vector + 1, and its error code. Delivered by `run`.
 */
export const owedException = field('owedException', 4);
export const owedCode = field('owedCode', 4);
/** 1 when HLT or MWAIT waits for an interrupt. */
export const halted = field('halted', 4);
/** 1 while an NMI is handled, until IRET. */
export const nmiBlocked = field('nmiBlocked', 4);
/** State of the seeded generator behind RDRAND and RDSEED: four 64-bit words. */
export const random = field('random', 32);

/** End of the architectural state. */
export const architecturalFields: readonly Field[] = fields.slice();
export const architecturalSize = end;

// What follows is derived or belongs to a run.

/** Eight bytes that are always zero: the base of an absent register or segment. */
export const zero = field('zero', 8);
/** Units of time until the run must stop: an instruction takes one. Code keeps it in a register; this is where it stands when anything else may look. */
export const budget = field('budget', 4);
/** Value of `budget` at which the last STI or MOV SS ended, -1 when none did in this run. */
export const shadowBudget = field('shadowBudget', 4);
/** Value of `budget` at which RFLAGS.RF was set: RF holds for the instruction that starts with it. */
export const resumeBudget = field('resumeBudget', 4);
/** 1 when the present instruction started with RFLAGS.TF set: a debug trap comes behind it. */
export const stepping = field('stepping', 4);
/** 1 after a fault of a task that has been switched to: the instruction that switched is not executed again. */
export const lateFault = field('lateFault', 4);
/** Units of time cut off the budget for an early return to `run`, which takes them up again; see `core/run.ts`. */
export const setAside = field('setAside', 4);
/** Offset in CS of the next instruction, for instructions that push it or leave it behind. */
export const nextRip = field('nextRip', 8);
/** The stack that an event or far call pushes on, before it is loaded; see `core/stack.ts`. */
export const newStack = field('newStack', 32);
/** What `budget` started from: `budgetStart - budget` units of time have passed in this run, an instruction costing one. */
export const budgetStart = field('budgetStart', 4);
/** How much of what has passed in this run was no instruction: modelled costs of string instructions and events. */
export const charged = field('charged', 4);
/** Virtual time in ns at which `budgetStart` was set (i64): with it, code knows what time it is. */
export const timeBase = field('timeBase', 8);
/** Host address of what the vCPUs of a guest share: the latest time that any of them has read (i64). */
export const shared = field('shared', 4);
/** Base of the TLB for the present privilege; see `tlb.ts`. */
export const tlb = field('tlb', 4);
/** Host address of the leaders that jumps went to lately; see `leadercache.ts`. */
export const leaderCache = field('leaderCache', 4);
/** Entries of the TLB in the list of those in use. */
export const tlbUsed = field('tlbUsed', 4);
/** Linear address of the code page that is executing. */
export const pageBase = field('pageBase', 8);
/** The decoded form of that page; see `codepage.ts`. */
export const codePage = field('codePage', 4);
/**
 * What the guest's kernel added to its addresses beyond what the first guest's did (i64): constants of decoded code that
 * move with it are kept without it; see `decode/relocation.ts`.
 */
export const slide = field('slide', 8);
/** Mode bits derived from CR0, EFER, CS and RFLAGS; see `mode.ts`. */
export const mode = field('mode', 4);
/** The exception that any instruction on XMM registers raises, by CR0.EM, CR0.TS and CR4.OSFXSR: 0, #UD or #NM. */
export const sseBlocked = field('sseBlocked', 4);
/** The same for instructions on MMX registers, by CR0.EM and CR0.TS. */
export const mmxBlocked = field('mmxBlocked', 4);
/** Current privilege level. */
export const cpl = field('cpl', 4);
/** Why code stopped; see `exits.ts`. */
export const exit = field('exit', 4);
/** Operand of the exit: an address, a number. */
export const exitInfo = field('exitInfo', 8);
/** The exception that a memory access or a check found: vector, error code, address for CR2. */
export const faultVector = field('faultVector', 4);
export const faultCode = field('faultCode', 4);
export const faultAddress = field('faultAddress', 8);
/** A pending access to a device or across a page: linear address, size and kind. */
export const pendingAddress = field('pendingAddress', 8);
export const pendingSize = field('pendingSize', 4);
/** Host addresses of the two parts of a pending access across a page; 0 for a device. */
export const pendingFirst = field('pendingFirst', 4);
export const pendingSecond = field('pendingSecond', 4);
export const pendingGpa = field('pendingGpa', 8);
export const pendingGpaSecond = field('pendingGpaSecond', 8);
/** Instructions executed in translated code since power-on. */
export const translated = field('translated', 8);
/** Value of `budget` where interpreted code last went on at a leader; see `translatedcount.ts`. */
export const noted = field('noted', 4);
/** 1 when PAUSE hands the rest of the turn to other vCPUs of the guest. */
export const yields = field('yields', 4);
/** Bit 0: an external interrupt waits for RFLAGS.IF. Bit 1: an NMI waits until NMIs are no longer blocked. */
export const interruptPending = field('interruptPending', 4);
/** 1 when exceptions are to be reported by an exit, instead of being delivered: for tests against recorded vectors. */
export const intercept = field('intercept', 4);
/** Where accesses that are not plain memory have their bytes. */
export const scratch = field('scratch', 64, 16);
/** Where the areas of FSAVE, FXSAVE and XSAVE and the x87 environment are put together and taken apart. */
export const image = field('image', 576, 16);
/** Where SSE's floating-point routines have the lanes of their operands and of the result: three times 16 bytes. */
export const lanes = field('lanes', 48, 16);
/** Guest-physical page number → host frame: see `memory/slots.ts`. */
export const slots = field('slots', 4);
/** Number of guest-physical pages that `slots` covers. */
export const slotCount = field('slotCount', 4);
/** Guest-physical page number → decoded page, an i32 each. */
export const codeMap = field('codeMap', 4);
/** Number of the vCPU among all of the process: what JavaScript is told when code calls it. */
export const number = field('number', 4);
/** Results of a routine beyond what it returns. */
export const result0 = field('result0', 8);
export const result1 = field('result1', 8);

/** The architectural state before a task switch, to which it goes back when the host must act before its end. */
export const beforeTask = field('beforeTask', architecturalSize, 8);

/** Size of the state block in front of the TLBs. */
export const stateSize = 4096;
if (end > stateSize) throw new Error(`vCPU state needs ${end} bytes`);

/** All fields with their places, for saving and for tests. */
export const allFields: readonly Field[] = fields;
