/** Figures of the hypervisor at one time, under the names of their columns. */

import type { Host } from '../../hypervisor/host.ts';
import type { Ksmd } from '../../hypervisor/ksm/ksmd.ts';
import type { HostedGuest } from '../../hypervisor/threads/hostedguest.ts';
import { type Column, columns } from '../../reports/format/columns.ts';
import type { Cell } from '../../reports/format/csv.ts';
import { type Census, census } from './census.ts';
import type { HostSample } from './host.ts';

type Figures = Record<string, Cell>;

/** A guest that was removed has no page anywhere. */
const nowhere: Census = { own: 0, shared: 0, zero: 0, swapped: 0, ballooned: 0, reported: 0, untouched: 0 };

/** See the top of this file. */
export class Sampler {
  /** The columns of its figures. A scanner's counters that no column is known for have one of their own. */
  readonly columns: readonly Column[];
  readonly #host: Host;
  readonly #guests: readonly HostedGuest[];
  readonly #cpus: number;
  readonly #ksmd: Ksmd | undefined;
  /** CPU time of guests that were removed. */
  readonly #lastCpuTime = new Map<number, number>();

  constructor(host: Host, guests: readonly HostedGuest[], cpus: number, ksmd: Ksmd | undefined) {
    this.#host = host;
    this.#guests = guests;
    this.#cpus = cpus;
    this.#ksmd = ksmd;
    const sample = this.sample();
    this.columns = [
      ...columnsFor('samples', Object.keys(sample.host)),
      ...columnsFor('guests', Object.keys(sample.guests[0] ?? {})),
    ];
  }

  /** A guest is about to be removed. */
  removing(number: number): void {
    this.#lastCpuTime.set(number, this.#cpuTime(number));
  }

  #cpuTime(number: number): number {
    return this.#lastCpuTime.get(number) ?? this.#host.cpuTime(this.#guests[number]!);
  }

  /** All figures. Every sample has the same keys, in the same order. */
  sample(): HostSample {
    const { books } = this.#host.pages;
    const counts = this.#guests.map(({ space }, number) =>
      this.#lastCpuTime.has(number) ? nowhere : census(space, books),
    );
    return {
      host: this.#hostFigures(counts),
      guests: this.#guests.map((guest, number) => this.#guestFigures(guest, number, counts[number]!)),
    };
  }

  #hostFigures(counts: readonly Census[]): Figures {
    const host = this.#host;
    const { classes, books, reclaimer, server, kswapd } = host.pages;
    const { swap } = books;
    const sum = (name: keyof Census) => counts.reduce((total, each) => total + each[name], 0);
    const cpu = {
      guests: this.#guests.reduce((total, _, number) => total + this.#cpuTime(number), 0),
      ksmd: this.#ksmd === undefined ? undefined : host.taskTime(this.#ksmd),
      kswapd: swap === undefined ? undefined : host.taskTime(kswapd),
    };
    const used = cpu.guests + (cpu.ksmd ?? 0) + (cpu.kswapd ?? 0);
    return {
      frames_free: classes.free,
      frames_private: classes.private,
      frames_zero: classes.zero,
      frames_ksm: classes.ksm,
      frames_swapcache: classes.swapcache,
      mapped_pages: sum('own') + sum('shared') + sum('zero'),
      saved_merged: sum('shared') - classes.ksm,
      saved_zero: sum('zero'),
      saved_ballooned: sum('ballooned'),
      ...(swap === undefined ? {} : { saved_swapped: sum('swapped') }),
      saved_reported: sum('reported'),
      ...this.#scannerFigures(),
      ...this.#oracleFigures(),
      ...(swap === undefined
        ? {}
        : {
            swap_slots_used: swap.slots.used,
            pswpin: server.counters.pagesRead + server.counters.pagesReadAhead,
            pswpout: reclaimer.counters.written,
            pgscan_kswapd: reclaimer.counters.scannedByKswapd,
            pgsteal_kswapd: reclaimer.counters.stolenByKswapd,
            pgscan_direct: reclaimer.counters.scannedDirectly,
            pgsteal_direct: reclaimer.counters.stolenDirectly,
          }),
      oom_kill: host.pages.oomKills,
      cpu_guests_ns: cpu.guests,
      ...(cpu.ksmd === undefined ? {} : { cpu_ksmd_ns: cpu.ksmd }),
      ...(cpu.kswapd === undefined ? {} : { cpu_kswapd_ns: cpu.kswapd }),
      cpu_idle_ns: this.#cpus * host.time - used,
    };
  }

  #scannerFigures(): Figures {
    const scanner = this.#ksmd?.scanner;
    if (scanner === undefined) return {};
    const pagesToScan = scanner.knobs.names.includes('pages_to_scan')
      ? { pages_to_scan: Number(scanner.knobs.get('pages_to_scan')) }
      : {};
    return { ...pagesToScan, ...scanner.counters() };
  }

  #oracleFigures(): Figures {
    if (this.#ksmd === undefined) return {};
    const { ideal, idealWithoutZero, idealWithin, idealAcross, missed } = this.#ksmd.sample(this.#host.time);
    return {
      ideal_saved: ideal,
      ideal_saved_nonzero: idealWithoutZero,
      ideal_within: idealWithin,
      ideal_across: idealAcross,
      unsaved_unscanned: missed.unscanned,
      unsaved_volatile: missed.volatile,
      unsaved_skipped: missed.skipped,
      unsaved_capped: missed.capped,
      unsaved_ineligible: missed.ineligible,
    };
  }

  #guestFigures(guest: HostedGuest, number: number, counts: Census): Figures {
    const { space, balloon, measures, instructions } = guest;
    const stats = balloon.stats?.values;
    const faults = Object.entries(space.counters.counts).map(([cause, count]) => [`faults_${cause}`, count]);
    return {
      resident_pages: counts.own + counts.shared + counts.zero,
      shared_pages: counts.shared,
      zero_pages: counts.zero,
      swapped_pages: counts.swapped,
      ballooned_pages: counts.ballooned,
      reported_pages: counts.reported,
      untouched_pages: counts.untouched,
      balloon_target_pages: balloon.target,
      balloon_actual_pages: balloon.actual,
      guest_total_bytes: stats?.total_memory,
      guest_free_bytes: stats?.free_memory,
      guest_available_bytes: stats?.available_memory,
      guest_disk_caches_bytes: stats?.disk_caches,
      guest_major_faults: stats?.major_faults,
      guest_minor_faults: stats?.minor_faults,
      ...(Object.fromEntries(faults) as Figures),
      fault_ns: Object.values(measures.faults).reduce((total, { sum }) => total + sum, 0),
      stall_ns: measures.stalled,
      steal_ns: measures.stolen,
      cpu_ns: this.#cpuTime(number),
      instructions,
      ...(this.#lastCpuTime.has(number) ? {} : this.#ksmd?.scanner.countersOf(space)),
    };
  }
}

function columnsFor(table: Column['table'], names: readonly string[]): Column[] {
  return names.map(
    (name) =>
      columns.find((each) => each.table === table && each.name === name) ?? {
        table,
        name,
        unit: 'count',
        meaning: `The scanner’s own counter ${name}`,
      },
  );
}
