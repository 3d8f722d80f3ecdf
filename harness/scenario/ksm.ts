/** The part of a scenario that says how pages are merged. Knobs have Linux's names, ranges and defaults. */
import { z } from 'zod';
import { hostTime } from './units.ts';

/** Linux versions whose ksmd can be had, oldest first. */
export const ksmProfiles = ['linux-6.1', 'linux-6.8', 'linux-6.12', 'linux-6.18'] as const;

const largestInt = 2 ** 31 - 1;
const whole = (least: number, most = largestInt) => z.int().min(least).max(most);

/** Linux's knobs, as in /sys/kernel/mm/ksm. One that is not given has the default of the profile. */
export const linuxKnobs = z
  .strictObject({
    pages_to_scan: whole(1).describe('Pages to scan before ksmd sleeps'),
    sleep_millisecs: whole(0).describe('How long ksmd sleeps, in ms'),
    use_zero_pages: whole(0, 1).describe('1: empty pages are mapped to the zero page'),
    max_page_sharing: whole(2).describe('Most guest pages that may share one frame'),
    stable_node_chains_prune_millisecs: whole(0).describe('How often chains are pruned, in ms'),
    smart_scan: whole(0, 1).describe('1: pages that did not merge are scanned less often (since Linux 6.7)'),
    advisor_mode: z.enum(['none', 'scan-time']).describe('What sets pages_to_scan (since Linux 6.8)'),
    advisor_max_cpu: whole(0, 100).describe('Most CPU that the advisor lets ksmd use, in per cent'),
    advisor_min_pages_to_scan: whole(1).describe('What the advisor begins with'),
    advisor_max_pages_to_scan: whole(1).describe('The most that the advisor sets'),
    advisor_target_scan_time: whole(1).describe('How long a full scan shall take, in s'),
  })
  .partial();

/** The profile from which on a knob exists. */
const since: Readonly<Record<string, (typeof ksmProfiles)[number]>> = {
  smart_scan: 'linux-6.8',
  advisor_mode: 'linux-6.8',
  advisor_max_cpu: 'linux-6.8',
  advisor_min_pages_to_scan: 'linux-6.8',
  advisor_max_pages_to_scan: 'linux-6.8',
  advisor_target_scan_time: 'linux-6.8',
};

const knobNames = Object.keys(linuxKnobs.shape);

/** Same-page merging, switched on. */
export const ksm = linuxKnobs
  .extend({
    scanner: z
      .string()
      .regex(
        /^([a-z0-9-]+|\.{0,2}\/.*\.ts)$/,
        'the name of a scanner, or the path of a file such as ./mine.ts',
      )
      .default('linux')
      .describe('linux, the name of another scanner, or a file with a scanner of your own'),
    profile: z.enum(ksmProfiles).default('linux-6.12').describe('The Linux version whose ksmd is followed'),
    start: hostTime.prefault('0s').describe('When merging is switched on'),
    knobs: z
      .record(z.string(), z.union([z.number(), z.string()]))
      .optional()
      .describe('Knobs of a scanner other than linux'),
  })
  .superRefine((value, context) => {
    const given = knobNames.filter((name) => name in value);
    const fail = (name: string, message: string, remedy: string) =>
      context.addIssue({ code: 'custom', path: [name], message, params: { remedy } });
    if (value.scanner !== 'linux') {
      for (const name of given) {
        fail(name, `the scanner ${value.scanner} has knobs of its own`, `give them under 'knobs'`);
      }
      return;
    }
    if (value.knobs !== undefined) {
      fail('knobs', 'these are for other scanners than linux', 'give the knob beside scanner');
    }
    for (const name of given) {
      const first = since[name];
      if (first !== undefined && ksmProfiles.indexOf(value.profile) < ksmProfiles.indexOf(first)) {
        fail(
          name,
          `${value.profile} has no such knob`,
          `leave it out, or use the profile ${first} or a later one`,
        );
      }
    }
    if (value.advisor_mode === 'scan-time' && value.pages_to_scan !== undefined) {
      fail('pages_to_scan', 'it is the advisor that sets it', "leave it out, or say 'advisor_mode: none'");
    }
  });
