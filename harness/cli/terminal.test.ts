import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const echo = fileURLToPath(new URL('testing/echo.ts', import.meta.url));

/**
 * Runs the guest of `testing/echo.ts` on a pseudo-terminal, which script(1) makes. Types each text as soon as the
 * one before it is shown. Gives all that was shown.
 */
async function converse(turns: readonly (readonly [shown: string, type: string])[]): Promise<string> {
  const script = spawn('script', ['-qec', `exec '${process.execPath}' '${echo}'`, '/dev/null']);
  const left = [...turns];
  let shown = '';
  let answered = 0;
  script.stdout.on('data', (chunk) => {
    shown += chunk;
    while (left[0] !== undefined) {
      const [text, keys] = left[0];
      const at = shown.indexOf(text, answered);
      if (at < 0) break;
      answered = at + text.length;
      left.shift();
      script.stdin.write(keys);
    }
  });
  await once(script, 'close');
  return shown;
}

test('keys reach the guest raw, and Ctrl-A X gives the terminal back', async (t) => {
  const shown = await converse([
    ['ready', 'a\r'],
    ['<61><d>', '\x03'],
    ['<3>', '\x01h'],
    ['send Ctrl-A to the guest', '\x01\x01'],
    ['<1>', '\x01x'],
  ]);
  t.regex(shown, /<1>\r\nended: by the user, raw: false\r\n$/);
});
