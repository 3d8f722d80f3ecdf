/** The options of `npm run bench:peers`. */
import { parseArgs } from 'node:util';
import { UserError } from '../../workloads/images/user-error.ts';
import type { Setup } from './peer.ts';
import type { Plan } from './session.ts';
import { works } from './works.ts';

/** What was asked for. */
export interface Options {
  readonly plan: Plan;
  /** Names of the emulators that pagefold is compared with. */
  readonly peers: readonly string[];
  /** Whether all is measured that there is, often enough: only that is written into the results. */
  readonly complete: boolean;
}

/** Emulators that there are. */
export const peerNames = ['qemu', 'v86'];
const partNames = ['boot', ...works.map(({ name }) => name), 'together', 'second'];
const defaultRounds = 3;

const allTogether: readonly Setup[] = [
  ...[1, 2, 4, 8].map((guests) => ({ guests, kaslr: true })),
  { guests: 8, kaslr: false },
];
/** What `--quick` does, once. */
const quickParts = ['boot', 'sh', 'md5sum', 'fork', 'together'];
const quickTogether = allTogether.slice(0, 2);

/** What `--help` prints. */
export const help = `npm run bench:peers -- [options]

Does the same work on pagefold, QEMU and v86 in turns, and writes tables and a chart into bench/RESULTS.md.
A run that leaves something out only prints them.

  --only NAMES   of ${partNames.join(', ')}
  --peers NAMES  of ${peerNames.join(', ')}
  --rounds N     how often all is done, ${defaultRounds} times unless said otherwise
  --quick        ${quickParts.join(', ')} with few guests, once, beside QEMU alone: a few minutes
`;

/** Reads the options. Undefined when help is asked for. Throws {@link UserError} for a mistake in them. */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parse(args);
  if (values.help === true) return undefined;
  const quick = values.quick === true;
  const parts = list('--only', values.only, partNames) ?? (quick ? quickParts : partNames);
  const peers = list('--peers', values.peers, peerNames) ?? (quick ? ['qemu'] : peerNames);
  const rounds = values.rounds === undefined ? (quick ? 1 : defaultRounds) : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) {
    const cause = `'${values.rounds}' is no number of rounds`;
    throw new UserError({ file: '--rounds', cause, remedy: 'give a whole number from 1 on' });
  }
  return {
    plan: {
      rounds,
      boot: parts.includes('boot'),
      works: works.filter(({ name }) => parts.includes(name)),
      together: parts.includes('together') ? (quick ? quickTogether : allTogether) : [],
      second: parts.includes('second'),
    },
    peers,
    complete:
      !quick &&
      parts.length === partNames.length &&
      peers.length === peerNames.length &&
      rounds >= defaultRounds,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: { type: 'string' },
        peers: { type: 'string' },
        rounds: { type: 'string' },
        quick: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    const cause = (error as Error).message.split('. ')[0]!;
    throw new UserError({ file: 'bench:peers', cause, remedy: "see 'npm run bench:peers -- --help'" });
  }
}

/** A list of names, separated by commas, each once; undefined when none is given. */
function list(option: string, text: string | undefined, known: readonly string[]): string[] | undefined {
  if (text === undefined) return undefined;
  const names = [...new Set(text.split(','))];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return names;
  const cause = `there is no '${unknown}'`;
  throw new UserError({ file: option, cause, remedy: `choose from ${known.join(', ')}` });
}
