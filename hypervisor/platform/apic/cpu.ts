/** The wires between a local APIC and its CPU. */

/** What a local APIC asks of its CPU. */
export interface ApicCpu {
  /** Whether an interrupt waits to be acknowledged; the CPU takes it when RFLAGS.IF and its shadow allow. Called on changes only. */
  setInterruptPending(pending: boolean): void;
  /** Raises a non-maskable interrupt. */
  nmi(): void;
  /** Resets the CPU by INIT; the bootstrap processor then starts at the reset vector, another waits for {@link startup}. */
  init(): void;
  /** A start-up IPI: a CPU that waits for it begins in real mode at `vector` × 4096; another ignores it. */
  startup(vector: number): void;
}

/** How a local APIC tells time. */
export interface ApicTime {
  /** The virtual time in ns at which the CPU's time-stamp counter is or was `tsc`. */
  timeOfTsc(tsc: bigint): number;
}
