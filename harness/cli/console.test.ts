import { PassThrough } from 'node:stream';
import test from 'ava';
import { runOnPipes } from './console.ts';
import { type ScriptedGuest, type Step, scriptedGuest } from './testing/scriptedguest.ts';

/** Runs a guest whose input is `text`; the guest ends as soon as `until` is true. */
async function run(text: string, steps: readonly Step[], until: (guest: ScriptedGuest) => boolean) {
  const watch: Step = (guest) => (until(guest) ? 'poweroff' : undefined);
  const guest = scriptedGuest([...steps, ...Array<Step>(2000).fill(watch)]);
  const input = new PassThrough();
  const output = new PassThrough();
  input.end(text);
  const end = await runOnPipes(
    guest,
    input as unknown as NodeJS.ReadStream,
    output as unknown as NodeJS.WriteStream,
    {
      drained: () => undefined,
      signal: new AbortController().signal,
    },
  );
  return { guest, end, printed: output.read()?.toString() ?? '' };
}

test('input waits until the guest has printed something and is quiet for two virtual seconds', async (t) => {
  let quietSince = 0;
  const prompt: Step = (guest) => {
    t.is(guest.typed, '', 'nothing was sent to a guest that boots');
    guest.print('# ');
    quietSince = guest.virtualNs;
    return undefined;
  };
  const boot = Array<Step>(500).fill(() => undefined);
  const { guest, end, printed } = await run('uname\n', [...boot, prompt], ({ typed }) => typed !== '');
  t.deepEqual(end, { reason: 'poweroff' });
  t.is(guest.typed, 'uname\n');
  t.is(printed, '# ');
  const waited = guest.virtualNs - quietSince;
  t.true(waited >= 2e9 && waited < 2.1e9, `${waited}`);
});

test('after the end of the input Ctrl-D is sent, and again when the guest waits again', async (t) => {
  const prompt: Step = (guest) => void guest.print('# ');
  const { guest } = await run('', [prompt], ({ typed }) => typed.length === 2);
  t.is(guest.typed, '\x04\x04');
});
