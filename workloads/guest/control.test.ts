import test from 'ava';
import fc from 'fast-check';
import { ControlError, ControlReader, execRequest } from './control.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test('a request counts bytes, not characters', (t) => {
  t.deepEqual(execRequest('echo ß'), new Uint8Array(bytes('exec 7\necho ß')));
});

test('answers are the same however their bytes are cut', (t) => {
  const all = bytes('ready\nexit 0\nexit 255\n');
  for (let cut = 0; cut <= all.length; cut++) {
    const reader = new ControlReader();
    t.deepEqual(
      [...reader.push(all.subarray(0, cut)), ...reader.push(all.subarray(cut))],
      [{ kind: 'ready' }, { kind: 'exit', status: 0 }, { kind: 'exit', status: 255 }],
    );
  }
});

for (const line of [
  '',
  'exit',
  'exit -1',
  'exit 256',
  'exit 1000',
  'ready ',
  'Ready',
  `exit 1${' '.repeat(99)}`,
]) {
  test(`the answer ${JSON.stringify(line.slice(0, 10))} breaks the protocol`, (t) => {
    t.throws(() => new ControlReader().push(bytes(`${line}\n`)), { instanceOf: ControlError });
  });
}

test('a guest that sends garbage without end is found out', (t) => {
  t.throws(() => new ControlReader().push(new Uint8Array(1000).fill(0x41)), { instanceOf: ControlError });
});

test('whatever arrives is an answer or a ControlError', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
      try {
        new ControlReader().push(garbage);
      } catch (error) {
        return error instanceof ControlError;
      }
      return true;
    }),
    { seed: 1 },
  );
  t.pass();
});
