import test from 'ava';
import { ControlError, controlPort, outputPort } from '../../workloads/guest/control.ts';
import { execInGuest, powerOff } from './exec.ts';
import { type Step, scriptedGuest } from './testing/scriptedguest.ts';

const wait: Step = () => undefined;
const say = (text: string): Step => {
  return (guest) => void guest.send(controlPort, text);
};
const print = (text: string): Step => {
  return (guest) => void guest.send(outputPort, text);
};

async function exec(steps: readonly Step[], signal = new AbortController().signal) {
  const guest = scriptedGuest(steps);
  let printed = '';
  const ended = await execInGuest(guest, {
    script: 'true',
    print: (bytes) => {
      printed += Buffer.from(bytes).toString();
    },
    drained: () => undefined,
    signal,
  });
  return { guest, ended, printed };
}

test('the command is sent once the guest is ready, and its status and output come back', async (t) => {
  const { guest, ended, printed } = await exec([
    wait,
    (g) => void t.is(g.sent(controlPort), ''),
    say('ready\n'),
    print('one\n'),
    print('two\n'),
    say('exit 3\n'),
  ]);
  t.is(guest.sent(controlPort), 'exec 4\ntrue');
  t.is(ended, 3);
  t.is(printed, 'one\ntwo\n');
});

test('a guest that switches itself off before the end is told from one that ends', async (t) => {
  const { ended } = await exec([say('ready\n'), () => 'poweroff']);
  t.deepEqual(ended, { reason: 'poweroff' });
});

test('the status counts when it comes in the step in which the machine ends', async (t) => {
  const both: Step = (guest) => {
    guest.send(controlPort, 'exit 0\n');
    return 'poweroff';
  };
  t.is((await exec([say('ready\n'), both])).ended, 0);
});

test('a guest that breaks the protocol is found out', async (t) => {
  await t.throwsAsync(() => exec([say('hello\n')]), { instanceOf: ControlError });
});

test('a signal ends the run', async (t) => {
  const controller = new AbortController();
  const { ended } = await exec([say('ready\n'), () => void controller.abort()], controller.signal);
  t.is(ended, undefined);
});

test('a guest that does not switch itself off when told is given up', async (t) => {
  const guest = scriptedGuest([]);
  await powerOff(guest, new AbortController().signal);
  t.is(guest.sent(controlPort), 'poweroff\n');
  t.true(guest.virtualNs >= 30e9);
});
