/** INT n, INT3, INTO, INT1, BOUND, IRET (SDM vol. 2). */
import { eventKinds } from '../core/delivery.ts';
import * as exceptions from '../exceptions.ts';
import { requireVirtualIopl } from './flag.ts';
import { meaning, type Row, row } from './instruction.ts';

const interrupt = meaning('r', (c, vector) => {
  requireVirtualIopl(c);
  c.transfer(c.core.deliver, vector!, 0, eventKinds.software);
});

const breakpoint = meaning('', (c) => {
  c.transfer(c.core.deliver, exceptions.BP, 0, eventKinds.softwareException);
});

const interruptOnOverflow = meaning('', (c) => {
  c.fn.if(c.overflow(), () => c.transfer(c.core.deliver, exceptions.OF, 0, eventKinds.softwareException));
});

const debugInterrupt = meaning('', (c) => {
  c.transfer(c.core.deliver, exceptions.DB, 0, eventKinds.privilegedException);
});

const bound = meaning('r a', (c, index) => {
  const address = c.memoryAddress();
  const value = c.signed(index!, c.size);
  const lower = c.signed(c.load(address, c.size), c.size);
  const upper = c.signed(c.load(c.at(address, c.size), c.size), c.size);
  c.raiseIf(value.ltS(lower).or(value.gtS(upper)), exceptions.BR);
});

const interruptReturn = meaning('', (c) => {
  c.transfer(c.core.interruptReturn, c.size);
});

const ends = { ends: true } as const;

/** Opcode rows of this file. */
export const interrupts: readonly Row[] = [
  ...row('CD', 'INT Ib', interrupt, ends),
  ...row('CC', 'INT3', breakpoint, ends),
  ...row('CE', 'INTO', interruptOnOverflow, { mode: 'not64' }),
  ...row('F1', 'INT1', debugInterrupt, ends),
  ...row('62', 'BOUND Gv,Ma', bound, { mode: 'not64' }),
  ...row('CF', 'IRET', interruptReturn, ends),
];
