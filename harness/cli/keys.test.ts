import test from 'ava';
import { EscapeKeys, type KeyAction } from './keys.ts';

const type = (...chunks: string[]) => {
  const keys = new EscapeKeys();
  return chunks.flatMap((chunk) => keys.typed(Buffer.from(chunk)));
};
const send = (text: string): KeyAction => ({ kind: 'send', bytes: Uint8Array.from(Buffer.from(text)) });

test('keys go to the guest as they are, Ctrl-C among them', (t) => {
  t.deepEqual(type('ls\r\x03\x1a\x00'), [send('ls\r\x03\x1a\x00')]);
});

for (const x of ['x', 'X']) {
  test(`Ctrl-A ${x} ends the guest, and what follows is dropped`, (t) => {
    t.deepEqual(type(`ab\x01${x}cd`), [send('ab'), { kind: 'quit' }]);
  });
}

test('Ctrl-A and the key after it may come apart', (t) => {
  t.deepEqual(type('a\x01', 'x'), [send('a'), { kind: 'quit' }]);
});

test('Ctrl-A A and Ctrl-A Ctrl-A send Ctrl-A', (t) => {
  t.deepEqual(type('\x01ab\x01\x01c'), [send('\x01b\x01c')]);
});

test('Ctrl-A H shows help, and keys around it go on', (t) => {
  t.deepEqual(type('a\x01hb'), [send('a'), { kind: 'help' }, send('b')]);
});

test('Ctrl-A and any other key does nothing', (t) => {
  t.deepEqual(type('a\x01zb'), [send('ab')]);
});
