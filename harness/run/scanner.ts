/** The scanner that a scenario names, with its knobs. */
import { pathToFileURL } from 'node:url';
import { EsxScanner } from '../../hypervisor/ksm/esx/scanner.ts';
import { LinuxScanner } from '../../hypervisor/ksm/linux/scanner.ts';
import { type CreateScanner, KnobError } from '../../hypervisor/ksm/scanner.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import type { Ksm } from '../scenario/schema.ts';

/**
 * What makes the scanner, stopped, with its knobs. Throws {@link UserError} when a file with one cannot be used; what it gives does so when a
 * knob is refused.
 */
export async function scannerOf(ksm: Ksm, file: string | undefined): Promise<CreateScanner> {
  const { scanner: name, profile, start: _, knobs: own, ...linux } = ksm;
  const create: CreateScanner =
    file !== undefined
      ? await createScannerOf(file)
      : name === 'esx'
        ? (options) => new EsxScanner(options)
        : (options) => new LinuxScanner(profile, options);
  return (options) => {
    const scanner = create(options);
    for (const [knob, value] of Object.entries(own ?? linux)) {
      try {
        if (value !== undefined) scanner.knobs.set(knob, value);
      } catch (error) {
        if (!(error instanceof KnobError)) throw error;
        throw new UserError({
          file: 'host.ksm',
          place: knob,
          cause: error.message,
          remedy: `give ${name} another value, or leave it out`,
        });
      }
    }
    return scanner;
  };
}

async function createScannerOf(file: string): Promise<CreateScanner> {
  const module: unknown = await import(pathToFileURL(file).href).catch((error: Error) => {
    throw new UserError({ file, cause: `it cannot be loaded (${error.message})`, remedy: 'mend it' });
  });
  const { createScanner } = module as { createScanner?: unknown };
  if (typeof createScanner === 'function') return createScanner as CreateScanner;
  throw new UserError({
    file,
    cause: "it exports no function 'createScanner'",
    remedy: 'export one, of the type CreateScanner in hypervisor/ksm/scanner.ts',
  });
}
