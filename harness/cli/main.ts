/**
 * The command line: what there is to say, and which function answers it. What a command does is loaded when it is chosen: all of it
 * together takes longer to load than a machine to switch on.
 */
import { readFile } from 'node:fs/promises';
import yargs, { type Argv } from 'yargs';
import { RunFolderError } from '../../reports/format/error.ts';
import { nearest } from '../../workloads/images/nearest.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { addCheck, checkOptions } from './commands/check.ts';
import { addDensity, densityOptions } from './commands/density.ts';
import { addReport, reportOptions } from './commands/report.ts';
import { addRun, ownRunOptions } from './commands/run.ts';
import { complain } from './style.ts';

const bootOptions = {
  image: {
    type: 'string',
    requiresArg: true,
    describe: 'Guest image, as NAME or NAME@DIGEST [default: debian-busybox]',
  },
  kernel: { type: 'string', requiresArg: true, describe: 'Own kernel (bzImage) instead of an image' },
  initrd: { type: 'string', requiresArg: true, describe: "Own initramfs instead of the image's" },
  memory: { type: 'string', requiresArg: true, describe: 'Memory of the guest', default: '256M' },
  balloon: { type: 'string', requiresArg: true, describe: 'Memory that the balloon takes from the guest' },
  cpus: { type: 'string', requiresArg: true, describe: 'Number of vCPUs', default: '1' },
  append: { type: 'string', requiresArg: true, describe: "Words added to the kernel's command line" },
  disk: { type: 'string', requiresArg: true, describe: 'Raw disk image; may be given several times' },
  exec: {
    type: 'string',
    requiresArg: true,
    describe: "Shell command to run as root; the guest's console is kept aside",
  },
  console: { type: 'boolean', describe: 'With --exec: show the console on standard error', default: false },
  json: { type: 'string', requiresArg: true, describe: 'File to write the figures of the run to' },
  seed: {
    type: 'string',
    requiresArg: true,
    describe: "Where the machine's randomness starts from",
    default: '0',
  },
  'no-translate': {
    type: 'boolean',
    describe: 'Interpret everything instead of translating hot code: the same results',
    default: false,
  },
  counters: {
    type: 'boolean',
    describe: 'Show on standard error what the engine decoded, translated, shared and evicted',
    default: false,
  },
  lockstep: {
    type: 'boolean',
    describe: 'Run a second guest that interprets everything, and stop where the two differ: slow',
    default: false,
  },
} as const;

/** The options of each command, for what a misspelt one may have meant. */
const commandOptions: Readonly<Record<string, object>> = {
  run: ownRunOptions,
  report: reportOptions,
  check: checkOptions,
  density: densityOptions,
  boot: bootOptions,
  guest: {},
};
const commandNames = Object.keys(commandOptions);
/** Options that may be given several times. */
const repeatable = ['_', 'disk', 'set', 'policy', 'baseline', 'run'];
const guestCommandNames = ['build', 'list', 'show', 'export', 'import'];

/** Options that may be given only once become arrays when they are not. */
function once(given: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(given)) {
    if (!repeatable.includes(name) && Array.isArray(value)) {
      throw new UserError({ file: `--${name}`, cause: 'given more than once', remedy: 'give it once' });
    }
  }
}

function commandLine(status: (status: number) => void, version: string): Argv {
  const line = yargs()
    .scriptName('pagefold')
    .usage(
      '$0 COMMAND\n\nA laboratory for memory overcommitment: runs many unmodified Linux guests on a simulated host.',
    )
    .parserConfiguration({
      'boolean-negation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .locale('en')
    .version(version)
    .example('$0 run', 'four Debian guests on a host with less memory than they believe')
    .example('$0 run ksm-sweep', 'what merging saves among 1, 2, 4 and 8 guests')
    .example('$0 report runs/A runs/B', 'two runs side by side')
    .example('$0 boot', 'a shell in a guest')
    .epilogue(
      "'pagefold COMMAND --help' tells more of a command; what scenarios can say is in docs/scenarios.md.",
    )
    .strict()
    .demandCommand(1, noCommand)
    .exitProcess(false)
    .middleware(once)
    .fail((message, error) => {
      // What the parser itself throws is a mistake on the command line too.
      if (error !== undefined && error.name !== 'YError') throw error;
      throw misspelt(message ?? error.message);
    });
  for (const add of [addRun, addReport, addCheck, addDensity]) add(line, status);
  return line
    .command(
      'boot',
      'Boot a guest',
      (command) =>
        command
          .usage(
            '$0 boot\n\nBoots a guest with its console on the terminal (Ctrl-A X ends it), or runs one command in it.',
          )
          .options(bootOptions)
          .example('$0 boot', 'a shell in the guest')
          .example("$0 boot --exec 'uname -a; free -m'", 'one command; ends with its exit status')
          .example('$0 boot --image debian-busybox-rt --memory 1G --cpus 4', 'another kernel, a larger guest')
          .example('$0 boot --kernel bzImage --initrd initrd.img --append quiet', 'your own guest'),
      async (given) => {
        const { boot } = await import('./boot.ts');
        const { disk, 'no-translate': interpret, ...options } = given;
        status(await boot({ ...options, translate: !interpret, disk: [disk ?? []].flat() }));
      },
    )
    .command('guest', 'Make, show and move guest images', (command) =>
      command
        .usage(
          '$0 guest COMMAND\n\nGuest images are made from Debian packages by recipes and kept in a cache.',
        )
        .command(
          'build [image]',
          'Build an image anew from the present packages',
          (sub) =>
            sub
              .positional('image', { ...imageName, default: 'debian-busybox' })
              .example('$0 guest build debian-redis', 'from the packages that apt has now'),
          async ({ image }) => (await guest()).build(image),
        )
        .command(
          'list',
          'List the images',
          (sub) => sub.example('$0 guest list', 'all, built or not'),
          async () => (await guest()).list(),
        )
        .command(
          'show <image>',
          'Show what an image was made of',
          (sub) =>
            sub
              .positional('image', { ...imageName, demandOption: true })
              .example('$0 guest show debian-busybox', 'its packages, files and digests'),
          async ({ image }) => (await guest()).show(image),
        )
        .command(
          'export <image> <file>',
          'Write an image to one archive file',
          (sub) =>
            sub
              .positional('image', { ...imageName, demandOption: true })
              .positional('file', { ...archiveFile, demandOption: true })
              .example('$0 guest export debian-busybox busybox.tar', 'for another machine, or to keep'),
          async ({ image, file }) => (await guest()).exportTo(image, file),
        )
        .command(
          'import <file>',
          'Take an image from an archive file',
          (sub) =>
            sub
              .positional('file', { ...archiveFile, demandOption: true })
              .example('$0 guest import busybox.tar', 'and prints the name that it has here'),
          async ({ file }) => (await guest()).importFrom(file),
        )
        .example('$0 guest list', 'what images there are')
        .example('$0 guest build debian-redis', 'builds one before it is first used')
        .demandCommand(1, noCommand),
    );
}

/** What `guest` does. */
const guest = () => import('./guest.ts');

/** What the parser says when no command is given; the help is the answer. */
const noCommand = 'no command is given';
const imageName = { type: 'string', describe: 'Name of an image, or NAME@DIGEST' } as const;
const archiveFile = { type: 'string', describe: 'The archive file' } as const;

/** What commands cannot do without. */
const needed: Readonly<Record<string, string>> = {
  report: 'the folder of a run',
  density: 'a scenario',
  'guest show': 'an image',
  'guest export': 'an image and a file',
  'guest import': 'a file',
};

/** The command that words begin with: `run`, `guest show`; empty when they begin with none. */
function commandIn([first = '', second = '']: readonly string[]): string {
  if (!commandNames.includes(first)) return '';
  return first === 'guest' && guestCommandNames.includes(second) ? `guest ${second}` : first;
}

/** What the parser of the command line did not understand, with what may have been meant. */
function misspelt(message: string): UserError {
  const command = commandIn(process.argv.slice(2));
  const help = `see 'pagefold ${command === '' ? '' : `${command} `}--help'`;
  if (message.startsWith('Not enough non-option arguments')) {
    return new UserError({ file: command, cause: `${needed[command]} is missing`, remedy: help });
  }
  const bare = /^Not enough arguments following: (\S+)/.exec(message)?.[1];
  if (bare !== undefined)
    return new UserError({ file: `--${bare}`, cause: 'its value is missing', remedy: help });
  const word = /^Unknown (?:argument|command)s?: ([^,]+)/.exec(message)?.[1];
  if (word === undefined) return new UserError({ file: 'command line', cause: message, remedy: help });
  const isOption = process.argv.slice(2).some((each) => each.replace(/=.*/s, '') === `--${word}`);
  const options = Object.keys(commandOptions[command] ?? {});
  const known = isOption
    ? [...options, 'help', 'version']
    : command === 'guest'
      ? guestCommandNames
      : command === ''
        ? commandNames
        : [];
  const near = nearest(word, known);
  return new UserError({
    file: isOption ? `--${word}` : word,
    cause: isOption ? 'there is no such option here' : 'not understood',
    remedy: near === undefined ? help : `did you mean ${isOption ? '--' : ''}${near}? Otherwise ${help}`,
  });
}

/** Runs the command that `words` say. Gives the exit status. */
async function main(words: string[]): Promise<number> {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  let status = 0;
  const line = commandLine((its) => {
    status = its;
  }, version);
  // Who says no command wants to know what there is; still, nothing was done.
  if (words.length === 0 || (words.length === 1 && words[0] === 'guest')) {
    await line.parseAsync([...words, '--help'], {}, (_error, _given, help) => {
      process.stderr.write(`${help}\n`);
    });
    return 2;
  }
  try {
    await line.parseAsync(words);
    return status;
  } catch (error) {
    if (error instanceof UserError || error instanceof RunFolderError) {
      complain(error.message);
      return 2;
    }
    if (error instanceof Error && error.name === 'LockstepDifference') {
      complain(error.message);
      return 1;
    }
    complain(`this is a defect of pagefold: ${(error as Error).stack ?? error}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
