/** Why code of a guest stops running: the numbers that stand in the state's `exit` field. */

/** The budget of instructions is used up. */
export const budget = 0;
/** HLT, or MWAIT: nothing to do until an interrupt. */
export const halt = 1;
/** A guest-physical page has no frame, or none of its own to write to: `exitInfo` is its page number, bit 63 set for a write. */
export const hostFault = 2;
/** An exception could not be delivered, nor the double fault: the machine shuts down (SDM vol. 3, 6.15, "Interrupt 8"). */
export const shutdown = 3;
/** PAUSE: the vCPU waits for another one. */
export const pause = 4;
/** Code would be executed where there is no memory: `exitInfo` is the guest-physical address. */
export const noMemory = 5;
/** With `intercept` set: an exception would be delivered; it is in the fault fields. */
export const exception = 6;
/** The store of decoded code is full: it must be emptied before the vCPU goes on. */
export const codeFull = 7;
