/** Folders of sweeps and density searches for tests, with runs that are made up. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatVersion, sweepFile } from '../format/names.ts';
import type { Sweep } from '../format/sweep.ts';
import { makeRun } from './generate.ts';

const mebi = 2 ** 20;

/** Makes a sweep up: numbers of guests with merging off and on. */
export async function makeSweep(folder: string, counts: readonly number[] = [1, 2, 4, 8]): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const profile = { profile: 'linux-6.12' };
  const cells: Sweep['cells'] = [];
  for (const guests of counts) {
    for (const ksm of [false, true]) {
      const parameters = { 'guests.0.count': guests, 'host.ksm': ksm ? profile : 'off' };
      const name = `${guests}-${ksm ? 'on' : 'off'}`;
      const made = {
        name: 'made-up-sweep',
        guests,
        ksm,
        hostMiB: 1024,
        balloon: false,
        samples: 30,
        parameters,
      };
      await makeRun(join(folder, name), made);
      cells.push({ parameters, folder: name, complete: true });
    }
  }
  cells.push({ parameters: { 'guests.0.count': 16, 'host.ksm': 'off' }, folder: null, complete: false });
  const sweep: Sweep = {
    formatVersion,
    kind: 'sweep',
    name: 'made-up-sweep',
    digest: 'ef'.repeat(32),
    axes: [
      { path: 'guests.0.count', values: [...counts, 16] },
      { path: 'host.ksm', values: ['off', profile] },
    ],
    cells,
    complete: false,
  };
  writeFileSync(join(folder, sweepFile), JSON.stringify(sweep));
  return folder;
}

/** Makes a density search up: eight policies, each tried with a few numbers of guests. */
export async function makeDensity(folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const cells: Sweep['cells'] = [];
  const density: NonNullable<Sweep['density']> = [];
  for (const swap of [false, true]) {
    for (const [ksm, balloon] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      const base = [ksm ? 'ksm' : '', balloon ? 'balloon' : ''].filter(Boolean).join('+') || 'none';
      const policy = swap ? `${base}+swap` : base;
      const fits = 2 + (ksm ? 2 : 0) + (balloon ? 1 : 0) + (swap ? 1 : 0);
      const tried: (typeof density)[number]['tried'] = [];
      for (const guests of [fits - 1, fits, fits + 1]) {
        const name = `${policy.replaceAll('+', '-')}-${guests}`;
        const parameters = { policy, 'guests.0.count': guests };
        const made = {
          name: 'made-up-density',
          guests,
          ksm,
          balloon,
          swap,
          hostMiB: 512,
          samples: 12,
          parameters,
        };
        await makeRun(join(folder, name), made);
        cells.push({ parameters, folder: name, complete: true });
        tried.push({
          guests,
          folder: name,
          fits: guests <= fits,
          missed: guests <= fits ? [] : ['fault_p99'],
        });
      }
      const exact = !(ksm && balloon && swap);
      density.push({ policy, guests: fits, exact, host_memory: 512 * mebi, tried });
    }
  }
  const sweep: Sweep = {
    formatVersion,
    kind: 'density',
    name: 'made-up-density',
    digest: 'ef'.repeat(32),
    axes: [
      { path: 'policy', values: density.map(({ policy }) => policy) },
      { path: 'guests.0.count', values: [] },
    ],
    cells,
    density,
    complete: true,
  };
  writeFileSync(join(folder, sweepFile), JSON.stringify(sweep));
  return folder;
}
