/** What a boot error is about: one of the files or settings that a machine is started with. */
export type BootInput = 'kernel' | 'initrd' | 'command line' | 'memory';

/** A machine cannot be booted with what it was given. The message says which input, why, and what to do. */
export class BootError extends Error {
  override name = 'BootError';
  /** The input at fault. */
  readonly input: BootInput;

  constructor(input: BootInput, reason: string, remedy: string) {
    super(`${input}: ${reason}; ${remedy}`);
    this.input = input;
  }
}

/** A size for people: in MiB, or in bytes when small. */
export function sizeText(bytes: number): string {
  return bytes < 2 ** 20 ? `${bytes} bytes` : `${Math.ceil((bytes / 2 ** 20) * 10) / 10} MiB`;
}
