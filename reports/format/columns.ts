/**
 * Every column that pagefold itself writes into the tables of a run folder, with its unit and meaning. A folder's own
 * `columns.json` lists those that it has; a scanner of a researcher's own may add some.
 */
import { z } from 'zod';
import type { TableName } from './names.ts';

/** Units of columns. `pages` are 4 KiB; `ns` are virtual nanoseconds; `name` is text, all others are whole numbers. */
export const units = ['ns', 'pages', 'bytes', 'count', 'guests', 'name'] as const;

/** Schema of an entry of `columns.json`. */
export const columnSchema = z.strictObject({
  table: z.enum(['samples', 'guests', 'latency', 'histogram']).describe('The table that has the column'),
  name: z.string().describe('Its name in the first line of the table'),
  unit: z.enum(units).describe('Unit of its values'),
  meaning: z.string().describe('What the values tell'),
});

/** A column of a table. */
export type Column = z.infer<typeof columnSchema>;

type Row = readonly [name: string, unit: Column['unit'], meaning: string];

const samples: readonly Row[] = [
  ['time_ns', 'ns', 'Virtual time of the sample since the host was switched on'],
  ['guests_up', 'guests', 'Guests that are switched on and have not ended'],
  ['guests_ended', 'guests', 'Guests that have ended, for whatever reason'],
  ['believed_bytes', 'bytes', 'Memory that the guests that are up have been promised: the sum of their RAM'],

  ['frames_free', 'pages', 'Host frames that nobody has'],
  ['frames_private', 'pages', 'Host frames that are one guest page each'],
  ['frames_zero', 'pages', 'Host frames of the shared zero page: 1 while any guest page maps it'],
  ['frames_ksm', 'pages', 'Host frames that same-page merging shares among guest pages'],
  ['frames_swapcache', 'pages', 'Host frames that hold a page whose copy in swap is still valid'],

  ['mapped_pages', 'pages', 'Guest pages that have a frame, shared ones counted as often as they are mapped'],
  [
    'saved_merged',
    'pages',
    'Frames saved by merging now: guest pages that map a merged frame, less those frames',
  ],
  ['saved_zero', 'pages', 'Frames saved by the shared zero page now: guest pages that map it'],
  ['saved_ballooned', 'pages', 'Guest pages that are in a balloon now, and so have no frame'],
  ['saved_swapped', 'pages', 'Guest pages that are in swap now, and so have no frame'],
  ['saved_reported', 'pages', 'Guest pages without a frame since the guest reported them free'],

  [
    'pages_to_scan',
    'pages',
    'Linux: pages that ksmd scans before it sleeps, as the knob or the advisor has it now',
  ],
  ['pages_shared', 'pages', 'Linux: merged frames in use'],
  ['pages_sharing', 'pages', 'Linux: further guest pages that map them, so how much is saved'],
  ['pages_unshared', 'pages', 'Linux: pages that were checked and are unique so far'],
  [
    'pages_volatile',
    'pages',
    'Linux: pages that are in no tree, as they change too fast or smart scan passes over them',
  ],
  ['pages_scanned', 'pages', 'Linux: pages scanned since merging was started'],
  ['pages_skipped', 'pages', 'Linux: pages that smart scan passed over'],
  ['full_scans', 'count', 'Linux: how often all mergeable memory has been scanned'],
  ['ksm_zero_pages', 'pages', 'Linux: zero pages that merging mapped to the kernel’s zero page'],
  [
    'stable_node_chains',
    'count',
    'Linux: chains of merged frames of equal content (max_page_sharing reached)',
  ],
  ['stable_node_dups', 'count', 'Linux: merged frames in those chains'],
  ['ksm_rmap_items', 'count', 'Linux: the scanner’s own records of pages'],
  ['general_profit', 'bytes', 'Linux: memory saved less the memory of the scanner’s own records'],
  ['cow_ksm', 'count', 'Linux: writes that broke a merged page'],
  ['ksm_swpin_copy', 'count', 'Linux: merged pages that swap-in had to copy'],

  [
    'ideal_saved',
    'pages',
    'Oracle: frames that merging of all equal pages would save now; pages in swap have no frame to save',
  ],
  ['ideal_saved_nonzero', 'pages', 'Oracle: the same, without pages of zeros'],
  ['ideal_within', 'pages', 'Oracle: what merging within each guest alone would save'],
  ['ideal_across', 'pages', 'Oracle: what merging across guests adds to that'],
  ['unsaved_unscanned', 'pages', 'Oracle: not saved, as the scanner has not come to the page yet'],
  ['unsaved_volatile', 'pages', 'Oracle: not saved, as the page changed between two visits'],
  ['unsaved_skipped', 'pages', 'Oracle: not saved, as smart scan passes the page over for a while'],
  ['unsaved_capped', 'pages', 'Oracle: not saved, as max_page_sharing is reached'],
  ['unsaved_ineligible', 'pages', 'Oracle: not saved, as the page may not be merged'],

  ['swap_slots_used', 'pages', 'Slots of the swap device in use'],
  ['pswpin', 'pages', 'Linux: pages read from swap so far, those read ahead too'],
  ['pswpout', 'pages', 'Linux: pages written to swap so far'],
  ['pgscan_kswapd', 'pages', 'Linux: pages that background reclaim has looked at so far'],
  ['pgsteal_kswapd', 'pages', 'Linux: pages that background reclaim has freed so far'],
  ['pgscan_direct', 'pages', 'Linux: pages that reclaim on behalf of a waiting guest has looked at so far'],
  ['pgsteal_direct', 'pages', 'Linux: pages that it has freed so far'],
  ['oom_kill', 'count', 'Linux: guests that the host stopped for want of memory so far'],

  ['cpu_guests_ns', 'ns', 'Time of physical CPUs that guests used so far'],
  ['cpu_ksmd_ns', 'ns', 'Time of physical CPUs that ksmd used so far'],
  ['cpu_kswapd_ns', 'ns', 'Time of physical CPUs that kswapd used so far'],
  ['cpu_idle_ns', 'ns', 'Time of physical CPUs that nobody used so far'],
];

const guests: readonly Row[] = [
  ['time_ns', 'ns', 'Virtual time of the sample since the host was switched on'],
  ['guest', 'name', 'Name of the guest'],
  ['state', 'name', 'waiting, booting, up, ended or failed'],

  ['resident_pages', 'pages', 'Guest pages that have a frame, shared or not'],
  ['shared_pages', 'pages', 'Guest pages that map a merged frame'],
  ['zero_pages', 'pages', 'Guest pages that map the shared zero page'],
  ['swapped_pages', 'pages', 'Guest pages that are in swap'],
  ['ballooned_pages', 'pages', 'Guest pages whose frame was taken as they went into the balloon'],
  ['reported_pages', 'pages', 'Guest pages whose frame was taken as the guest reported them free'],
  ['untouched_pages', 'pages', 'Guest pages that were never used, or not since they left the balloon'],

  ['balloon_target_pages', 'pages', 'Size of the balloon that the host asks for'],
  ['balloon_actual_pages', 'pages', 'Size of the balloon that the guest’s driver says it has'],
  ['guest_total_bytes', 'bytes', 'Balloon statistics: memory that the guest’s kernel manages'],
  ['guest_free_bytes', 'bytes', 'Balloon statistics: memory that the guest does not use at all'],
  ['guest_available_bytes', 'bytes', 'Balloon statistics: memory for new programs without swapping'],
  ['guest_disk_caches_bytes', 'bytes', 'Balloon statistics: page cache that can be given up'],
  [
    'guest_major_faults',
    'count',
    'Balloon statistics: the guest’s own page faults that needed a disk, so far',
  ],
  ['guest_minor_faults', 'count', 'Balloon statistics: all its other page faults, so far'],

  ['faults_first_touch', 'count', 'Host faults so far: first use of a page'],
  ['faults_cow_break', 'count', 'Host faults so far: write to a merged page or to the shared zero page'],
  ['faults_swap_in', 'count', 'Host faults so far: the page was in swap'],
  ['faults_balloon_return', 'count', 'Host faults so far: first use of a page that left the balloon'],
  ['faults_reporting_return', 'count', 'Host faults so far: first use of a page that had been reported free'],
  [
    'fault_ns',
    'ns',
    'Time that host faults took vCPUs so far: those served at once, which are CPU time (in cpu_ns), and those in stall_ns',
  ],
  [
    'stall_ns',
    'ns',
    'Time that vCPUs stood still so far for want of memory: for swap-in, for frames taken back, for a grant of frames',
  ],
  ['steal_ns', 'ns', 'Time that vCPUs could have run but had no physical CPU, so far'],
  ['cpu_ns', 'ns', 'Time of physical CPUs that the guest used so far'],
  ['instructions', 'count', 'Instructions that the guest has executed so far'],

  ['ksm_merging_pages', 'pages', 'Linux: pages of the guest that take part in merging'],
  [
    'ksm_process_profit',
    'bytes',
    'Linux: what merging saves for the guest, every shared page counted in full',
  ],
];

const distribution: readonly Row[] = [
  ['scope', 'name', 'Name of a guest, or host for all guests together'],
  ['kind', 'name', 'fault: time that a vCPU waited for the host; application: as the workload measured it'],
  [
    'cause',
    'name',
    'Of a fault: first_touch, cow_break, swap_in, balloon_return, reporting_return, or all of them; ' +
      'of an application: the operation that was measured',
  ],
];

const latency: readonly Row[] = [
  ...distribution,
  ['count', 'count', 'How many there were'],
  ['p50_ns', 'ns', 'Half of them took no longer'],
  ['p90_ns', 'ns', '90 % took no longer'],
  ['p99_ns', 'ns', '99 % took no longer'],
  ['p999_ns', 'ns', '99.9 % took no longer'],
  ['max_ns', 'ns', 'The longest'],
];

const histogram: readonly Row[] = [
  ...distribution,
  [
    'upper_ns',
    'ns',
    'Upper end of a range of times, which belongs to it; the range begins where the one before ends',
  ],
  ['count', 'count', 'How many fell into the range'],
];

const rows: Readonly<Record<TableName, readonly Row[]>> = { samples, guests, latency, histogram };

/** Every column that pagefold writes, table after table, in the order in which they stand there. */
export const columns: readonly Column[] = (Object.keys(rows) as TableName[]).flatMap((table) =>
  rows[table].map(([name, unit, meaning]) => ({ table, name, unit, meaning })),
);

/** The columns of one table. */
export function columnsOf(table: TableName): readonly Column[] {
  return columns.filter((column) => column.table === table);
}

/** Causes of host faults, as they stand in the tables; `all` is their sum. */
export const faultCauses = [
  'first_touch',
  'cow_break',
  'swap_in',
  'balloon_return',
  'reporting_return',
] as const;

/** States of a guest, as they stand in the tables. */
export const guestStates = ['waiting', 'booting', 'up', 'ended', 'failed'] as const;

/** A guest's state. */
export type GuestState = (typeof guestStates)[number];
