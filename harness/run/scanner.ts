/** Makes the scanner that a scenario names, with its knobs. */
import { pathToFileURL } from 'node:url';
import { EsxScanner } from '../../hypervisor/ksm/esx/scanner.ts';
import { LinuxScanner } from '../../hypervisor/ksm/linux/scanner.ts';
import {
  type CreateScanner,
  KnobError,
  type Scanner,
  type ScannerOptions,
} from '../../hypervisor/ksm/scanner.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import type { Ksm } from '../scenario/schema.ts';

/** Makes a scanner, stopped. Throws {@link UserError} when a file with one cannot be used, or a knob is refused. */
export async function makeScanner(
  ksm: Ksm,
  file: string | undefined,
  options: ScannerOptions,
): Promise<Scanner> {
  const { scanner: name, profile, start: _, knobs: own, ...linux } = ksm;
  const scanner =
    file !== undefined
      ? (await createScannerOf(file))(options)
      : name === 'esx'
        ? new EsxScanner(options)
        : new LinuxScanner(profile, options);
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
