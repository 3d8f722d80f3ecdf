import test from 'ava';
import { GuestConsole } from './console.ts';
import { timeWork, type Work } from './works.ts';

const work: Work = { name: 'count', title: '', cpuBound: false, command: 'echo 3', prints: /^3$/ };

/** A console whose guest echoes what is typed, as terminals do, and then prints `answer`. */
function consoleThatAnswers(answer: string): GuestConsole {
  const console = new GuestConsole((text) => {
    console.push(text.replace('\n', '\r\n'));
    for (const part of answer.split('|')) setImmediate(() => console.push(part));
  });
  return console;
}

test('what the terminal echoes and the kernel says is not taken for the guest’s own lines', async (t) => {
  const { ms, printed } = await timeWork(
    consoleThatAnswers('beg|in\r\n|[   12.034567] random: crng init done\r\n3\r\n|end 0\r\n~ |# '),
    work,
  );
  t.is(printed, '3');
  t.true(ms >= 0);
});

test('a work that fails, prints something else or ends its guest has no time', async (t) => {
  await t.throwsAsync(timeWork(consoleThatAnswers('begin\r\n3\r\nend 1\r\n~ # '), work), {
    message: 'count ended with status 1',
  });
  await t.throwsAsync(timeWork(consoleThatAnswers('begin\r\n4\r\nend 0\r\n~ # '), work), {
    message: 'count printed "4"',
  });
  const dying = new GuestConsole(() => {
    dying.push('begin\r\nKernel panic');
    dying.ended('QEMU ended');
  });
  await t.throwsAsync(timeWork(dying, work), {
    message: /^QEMU ended before end of count; its last words: ".*Kernel panic"$/,
  });
});

test('a guest that says nothing is not waited for without end', async (t) => {
  const console = new GuestConsole(() => {});
  console.push('Loading');
  await t.throwsAsync(console.expect('prompt', /# /, 1), {
    message: 'no prompt within 0.001 s; last words: "Loading"',
  });
});
