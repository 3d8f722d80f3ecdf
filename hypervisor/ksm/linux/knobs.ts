/**
 * The files of /sys/kernel/mm/ksm that can be written: names, defaults, ranges and errors as Linux has them. What each accepts
 * was tried on a running 6.18 (`knobs.test.ts` holds the answers).
 */
import type { StateReader, StateWriter } from '../../state/state.ts';
import { parseBoolean, parseUnsigned } from '../parse.ts';
import { KnobError, type Knobs, type KnobValue } from '../scanner.ts';
import type { AdvisorKnobs } from './advisor.ts';
import type { Profile } from './profiles.ts';

/** States of `run`. */
export const stopped = 0;
export const merging = 1;
export const unmerged = 2;

const defaultPages = 100;
const unsignedBits = 32;
const longBits = 64;

/** What the scanner does when a knob changes. */
export interface KnobActions {
  /** `run` is set to another value. May throw ENOMEM, after having set it to {@link stopped}. */
  runChanged(value: number): void;
  /** `sleep_millisecs` is set to another value: a sleeping ksmd wakes. */
  sleepChanged(): void;
  /** The advisor is switched on or off. */
  advisorChanged(): void;
  /** True while frames are merged, so that the shape of the stable tree must not change. */
  busy(): boolean;
}

/** The values. */
export interface KnobValues extends AdvisorKnobs {
  run: number;
  pagesToScan: number;
  sleepMs: number;
  mergeAcrossNodes: number;
  useZeroPages: boolean;
  maxSharing: number;
  pruneMs: number;
  smartScan: boolean;
  advisor: boolean;
}

interface Knob {
  get(values: KnobValues): string;
  set(name: string, value: KnobValue, values: KnobValues, actions: KnobActions): void;
}

type NumberName = {
  [Name in keyof KnobValues]: KnobValues[Name] extends number ? Name : never;
}[keyof KnobValues];
type TruthName = {
  [Name in keyof KnobValues]: KnobValues[Name] extends boolean ? Name : never;
}[keyof KnobValues];

/** A number, in 32 bits unless `bits` says otherwise. */
function number(
  field: NumberName,
  { bits = unsignedBits, least = 0 }: { bits?: number; least?: number } = {},
): Knob {
  return {
    get: (values) => String(values[field]),
    set: (name, value, values) => {
      const parsed = Number(parseUnsigned(name, value, bits));
      if (parsed < least)
        throw new KnobError('EINVAL', `${name} is ${parsed}; at least ${least} is possible`);
      values[field] = parsed;
    },
  };
}

function truth(field: TruthName): Knob {
  return {
    get: (values) => String(Number(values[field])),
    set: (name, value, values) => {
      values[field] = parseBoolean(name, value);
    },
  };
}

function refuseWhenBusy(name: string, actions: KnobActions): void {
  if (actions.busy())
    throw new KnobError('EBUSY', `${name} cannot change while pages are merged; set run to 2 first`);
}

const knobs: Record<string, Knob> = {
  run: {
    get: (values) => String(values.run),
    set: (name, value, values, actions) => {
      const run = Number(parseUnsigned(name, value, unsignedBits));
      if (run > unmerged) throw new KnobError('EINVAL', `${name} is ${run}; 0 stops, 1 merges, 2 unmerges`);
      if (run === values.run) return;
      values.run = run;
      actions.runChanged(run);
    },
  },
  pages_to_scan: {
    get: (values) => String(values.pagesToScan),
    set: (name, value, values) => {
      if (values.advisor) {
        throw new KnobError('EINVAL', `${name} is set by the advisor; set advisor_mode to none first`);
      }
      values.pagesToScan = Number(parseUnsigned(name, value, unsignedBits));
    },
  },
  sleep_millisecs: {
    get: (values) => String(values.sleepMs),
    set: (name, value, values, actions) => {
      const sleepMs = Number(parseUnsigned(name, value, unsignedBits));
      if (sleepMs === values.sleepMs) return;
      values.sleepMs = sleepMs;
      actions.sleepChanged();
    },
  },
  // The simulated host has one NUMA node, so that this one has no effect; Linux has it on every NUMA kernel.
  merge_across_nodes: {
    get: (values) => String(values.mergeAcrossNodes),
    set: (name, value, values, actions) => {
      const across = Number(parseUnsigned(name, value, longBits, 'ERANGE'));
      if (across > 1) throw new KnobError('EINVAL', `${name} is ${across}; give 0 or 1`);
      if (across === values.mergeAcrossNodes) return;
      refuseWhenBusy(name, actions);
      values.mergeAcrossNodes = across;
    },
  },
  use_zero_pages: truth('useZeroPages'),
  max_page_sharing: {
    get: (values) => String(values.maxSharing),
    set: (name, value, values, actions) => {
      const most = Number(parseUnsigned(name, value, unsignedBits - 1, 'ERANGE'));
      if (most < 2) throw new KnobError('EINVAL', `${name} is ${most}; a merged frame has at least 2 pages`);
      if (most === values.maxSharing) return;
      refuseWhenBusy(name, actions);
      values.maxSharing = most;
    },
  },
  stable_node_chains_prune_millisecs: number('pruneMs'),
  smart_scan: truth('smartScan'),
  advisor_mode: {
    get: ({ advisor }) => (advisor ? 'none [scan-time]' : '[none] scan-time'),
    set: (name, value, values, actions) => {
      const mode = String(value).replace(/\n$/, '');
      if (mode !== 'none' && mode !== 'scan-time') {
        throw new KnobError('EINVAL', `${name} is ${JSON.stringify(mode)}; give none or scan-time`);
      }
      const advisor = mode === 'scan-time';
      if (advisor === values.advisor) return;
      values.advisor = advisor;
      values.pagesToScan = advisor ? values.minPages : defaultPages;
      actions.advisorChanged();
    },
  },
  advisor_max_cpu: {
    get: (values) => String(values.maxCpu),
    set: (name, value, values) => {
      // Linux reads 64 bits and keeps 32.
      values.maxCpu = Number(BigInt.asUintN(unsignedBits, parseUnsigned(name, value, longBits)));
    },
  },
  advisor_min_pages_to_scan: number('minPages', { bits: longBits }),
  advisor_max_pages_to_scan: number('maxPages', { bits: longBits }),
  advisor_target_scan_time: number('targetTime', { bits: longBits, least: 1 }),
};

/** The knobs of one scanner; a kernel profile may lack some. */
export class LinuxKnobs implements Knobs {
  readonly names: readonly string[];
  readonly values: KnobValues = {
    run: stopped,
    pagesToScan: defaultPages,
    sleepMs: 20,
    mergeAcrossNodes: 1,
    useZeroPages: false,
    maxSharing: 256,
    pruneMs: 2000,
    smartScan: true,
    advisor: false,
    maxCpu: 70,
    minPages: 500,
    maxPages: 30000,
    targetTime: 200,
  };
  readonly #actions: KnobActions;
  readonly #profile: string;

  constructor(profileName: string, profile: Profile, actions: KnobActions) {
    this.#actions = actions;
    this.#profile = profileName;
    this.values.smartScan = profile.smartScan;
    this.names = Object.keys(knobs).filter(
      (name) =>
        (profile.smartScan || name !== 'smart_scan') && (profile.advisor || !name.startsWith('advisor_')),
    );
  }

  #knob(name: string): Knob {
    if (!this.names.includes(name)) {
      throw new KnobError(
        'ENOENT',
        `KSM of ${this.#profile} has no knob '${name}'; its knobs are ${this.names.join(', ')}`,
      );
    }
    return knobs[name]!;
  }

  get(name: string): string {
    return this.#knob(name).get(this.values);
  }

  set(name: string, value: KnobValue): void {
    this.#knob(name).set(name, value, this.values, this.#actions);
  }

  /** Writes the values. */
  saveState(to: StateWriter): void {
    for (const value of Object.values(this.values)) to.number(Number(value));
  }

  /** Takes the values up. */
  loadState(from: StateReader): void {
    for (const [name, value] of Object.entries(this.values)) {
      const saved = from.number();
      Object.assign(this.values, { [name]: typeof value === 'boolean' ? saved !== 0 : saved });
    }
  }
}
