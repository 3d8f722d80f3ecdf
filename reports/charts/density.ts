/** How many guests fit within the bounds of the scenario, by policy. */
import type { Study } from '../run.ts';
import { policyColour } from '../settings.ts';
import type { SummaryLine } from '../summary.ts';
import type { Colour } from '../theme.ts';
import { bytesToGiB, duration, guestsText, threeDigits } from '../units.ts';
import { type Chart, type LegendEntry, type Row, type Spec, tooltip } from './chart.ts';

const kinds: readonly LegendEntry[] = [
  { label: 'No merging, no balloon', colour: 'unsaved1', mark: 'area' },
  { label: 'Merging', colour: 'merged', mark: 'area' },
  { label: 'Balloon', colour: 'ballooned', mark: 'area' },
  { label: 'Merging and balloon', colour: 'ink', mark: 'area' },
];

function colourOf(policy: string): Colour {
  const techniques = policy.split('+');
  return policyColour({ ksm: techniques.includes('ksm'), balloon: techniques.includes('balloon') });
}

/** See the top of this file. */
export function densityChart({ sweep, cells }: Study): Chart | undefined {
  const found = sweep.density ?? [];
  if (found.length === 0) return undefined;
  const rows = found.map(({ policy, guests, exact, host_memory, tried }): Row => {
    const perGiB = guests / bytesToGiB(host_memory);
    const missed = [...new Set(tried.filter(({ fits }) => !fits).flatMap((each) => each.missed))].sort();
    return {
      policy,
      guests,
      exact,
      host_gib: bytesToGiB(host_memory),
      guests_per_gib: perGiB,
      label: `${exact ? '' : '≥ '}${threeDigits(perGiB)} (${guestsText(guests)})`,
      missed: missed.join(', '),
    };
  });
  const bounds = Object.entries(cells[0]?.run.data.manifest.scenario.slo ?? {});
  const most = Math.max(...rows.map((row) => Number(row.guests_per_gib)));
  const x: Spec = {
    field: 'guests_per_gib',
    type: 'quantitative',
    title: 'guests per GiB of host memory',
    // Room to the right of the longest bar for what is written there.
    scale: { domain: [0, most > 0 ? most * 1.8 : 1], nice: false },
  };
  const y: Spec = { field: 'policy', type: 'nominal', sort: null, title: null, axis: { labelFontSize: 12 } };
  return {
    id: 'density',
    title: 'How many guests fit, by policy',
    subtitle:
      bounds.length === 0
        ? 'Guests per GiB of host memory'
        : `Guests per GiB of host memory that keep ${bounds.map(([name, ns]) => `${name} ≤ ${duration(ns)}`).join(', ')}`,
    reading:
      'Each bar is a policy: how many guests it fits into a GiB before a bound is missed. The longer the bar, the ' +
      'denser the host. “≥” says that the search ended before a bound was missed, so that more may fit.',
    legend: kinds.filter(({ colour }) => found.some(({ policy }) => colourOf(policy) === colour)),
    columns: 1,
    panels: [
      {
        title: null,
        rows,
        height: Math.max(80, 34 * rows.length),
        spec: (theme) => ({
          layer: [
            {
              mark: { type: 'bar', height: 20 },
              encoding: {
                x,
                y,
                color: {
                  field: 'policy',
                  type: 'nominal',
                  legend: null,
                  scale: {
                    domain: found.map(({ policy }) => policy),
                    range: found.map(({ policy }) => theme[colourOf(policy)]),
                  },
                },
                tooltip: tooltip([
                  { field: 'policy', title: 'policy' },
                  { field: 'guests', title: 'guests that fit' },
                  { field: 'guests_per_gib', title: 'per GiB', format: '.2f' },
                  { field: 'host_gib', title: 'memory of the host (GiB)', format: '.2f' },
                  { field: 'missed', title: 'bounds missed beyond' },
                ]),
              },
            },
            {
              mark: { type: 'text', align: 'left', dx: 6, color: theme.ink },
              encoding: { x, y, text: { field: 'label', type: 'nominal' } },
            },
          ],
        }),
      },
    ],
    table: found.flatMap(({ policy, guests, exact, host_memory, tried }) =>
      tried
        .toSorted((a, b) => a.guests - b.guests)
        .map((each) => ({
          policy,
          fit_guests: guests,
          exact,
          host_memory_bytes: host_memory,
          tried_guests: each.guests,
          fits: each.fits,
          missed: each.missed.join(' '),
          folder: each.folder,
        })),
    ),
  };
}

/** The words of {@link densityChart}, a line a policy. */
export function densityLines({ sweep }: Study): SummaryLine[] {
  return (sweep.density ?? []).map(({ policy, guests, exact, host_memory }) => ({
    question: `Fit with ${policy}`,
    answer: `${exact ? '' : 'at least '}${guestsText(guests)}, ${threeDigits(guests / bytesToGiB(host_memory))} per GiB`,
  }));
}
