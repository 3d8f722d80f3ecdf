/** Whether the guests of a run fitted on its host. */
import type { Result } from '../../reports/format/result.ts';

/** Why the guests did not fit; nothing when they did. */
export function missed({ slo, guests, reason }: Result): string[] {
  const states = (wanted: string) =>
    Object.entries(guests)
      .filter(([, { state }]) => state === wanted)
      .map(([name]) => name);
  return [
    ...(reason === null ? [] : [reason]),
    ...slo.filter(({ met }) => !met).map(({ name }) => name),
    ...states('failed').map((name) => `${name} failed`),
    ...states('booting').map((name) => `${name} did not come up`),
  ];
}
