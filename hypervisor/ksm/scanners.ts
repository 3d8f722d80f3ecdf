/** The scanners that come with the host, by name. */
import { EsxScanner } from './esx/scanner.ts';
import { type ProfileName, profiles } from './linux/profiles.ts';
import { LinuxScanner } from './linux/scanner.ts';
import type { CreateScanner } from './scanner.ts';

const linux = Object.fromEntries(
  Object.keys(profiles).map((name): [string, CreateScanner] => [
    name,
    (options) => new LinuxScanner(name as ProfileName, options),
  ]),
);

/** For each name what makes the scanner: the kernels whose KSM it follows, and VMware ESX. */
export const scanners: Readonly<Record<string, CreateScanner>> = {
  ...linux,
  esx: (options) => new EsxScanner(options),
};

/** The kernel whose KSM a host has that names none. */
export const defaultScanner: ProfileName = 'linux-6.18';
