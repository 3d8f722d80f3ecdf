/** The command line: what there is to say, and which function answers it. */
import { readFile } from 'node:fs/promises';
import yargs, { type Argv } from 'yargs';
import { LockstepDifference } from '../../hypervisor/lockstep.ts';
import { nearest } from '../../workloads/images/nearest.ts';
import { UserError } from '../../workloads/images/user-error.ts';
import { boot } from './boot.ts';
import { build, exportTo, importFrom, list, show } from './guest.ts';
import { complain } from './style.ts';

const bootOptions = {
  image: { type: 'string', describe: 'Guest image, as NAME or NAME@DIGEST [default: debian-busybox]' },
  kernel: { type: 'string', describe: 'Own kernel (bzImage) instead of an image' },
  initrd: { type: 'string', describe: "Own initramfs instead of the image's" },
  memory: { type: 'string', describe: 'Memory of the guest', default: '256M' },
  balloon: { type: 'string', describe: 'Memory that the balloon takes from the guest' },
  cpus: { type: 'string', describe: 'Number of vCPUs', default: '1' },
  append: { type: 'string', describe: "Words added to the kernel's command line" },
  disk: { type: 'string', describe: 'Raw disk image; may be given several times' },
  exec: { type: 'string', describe: "Shell command to run as root; the guest's console is kept aside" },
  console: { type: 'boolean', describe: 'With --exec: show the console on standard error', default: false },
  json: { type: 'string', describe: 'File to write the figures of the run to' },
  seed: { type: 'string', describe: "Where the machine's randomness starts from", default: '0' },
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
const optionNames = ['help', 'version', ...Object.keys(bootOptions)];
const commandNames = ['boot', 'guest'];
const guestCommandNames = ['build', 'list', 'show', 'export', 'import'];

/** Options that may be given only once become arrays when they are not. */
function once<Options extends Record<string, unknown>>(given: Options): Options {
  for (const [name, value] of Object.entries(given)) {
    if (name !== '_' && name !== 'disk' && Array.isArray(value)) {
      throw new UserError({ file: `--${name}`, cause: 'given more than once', remedy: 'give it once' });
    }
  }
  return given;
}

function commandLine(status: (status: number) => void, version: string): Argv {
  return yargs()
    .scriptName('pagefold')
    .usage(
      '$0 COMMAND\n\nA laboratory for memory overcommitment: boots unmodified Linux guests on emulated PCs.',
    )
    .parserConfiguration({
      'boolean-negation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .locale('en')
    .version(version)
    .strict()
    .demandCommand(1, 'no command is given')
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? misspelt(message);
    })
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
        const { disk, 'no-translate': interpret, ...options } = given;
        status(await boot({ ...once(options), translate: !interpret, disk: [disk ?? []].flat() }));
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
          (sub) => sub.positional('image', { type: 'string', default: 'debian-busybox' }),
          ({ image }) => build(image),
        )
        .command('list', 'List the images', {}, list)
        .command(
          'show <image>',
          'Show what an image was made of',
          (sub) => sub.positional('image', { type: 'string', demandOption: true }),
          ({ image }) => show(image),
        )
        .command(
          'export <image> <file>',
          'Write an image to one archive file',
          (sub) =>
            sub
              .positional('image', { type: 'string', demandOption: true })
              .positional('file', { type: 'string', demandOption: true }),
          ({ image, file }) => exportTo(image, file),
        )
        .command(
          'import <file>',
          'Take an image from an archive file',
          (sub) => sub.positional('file', { type: 'string', demandOption: true }),
          ({ file }) => importFrom(file),
        )
        .demandCommand(1, 'no command is given after guest'),
    );
}

/** What the parser of the command line did not understand, with what may have been meant. */
function misspelt(message: string): UserError {
  const word = /^Unknown (?:argument|command)s?: ([^,]+)/.exec(message)?.[1];
  if (word === undefined) {
    return new UserError({ file: 'command line', cause: message, remedy: "see 'pagefold --help'" });
  }
  const isOption = process.argv.slice(2).some((each) => each.replace(/=.*/s, '') === `--${word}`);
  const known = isOption ? optionNames : process.argv[2] === 'guest' ? guestCommandNames : commandNames;
  const near = nearest(word, known);
  const help = "see 'pagefold --help'";
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
  try {
    await commandLine((its) => {
      status = its;
    }, version).parseAsync(words);
    return status;
  } catch (error) {
    if (error instanceof UserError) {
      complain(error.message);
      return 2;
    }
    if (error instanceof LockstepDifference) {
      complain(error.message);
      return 1;
    }
    complain(`this is a defect of pagefold: ${(error as Error).stack ?? error}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
