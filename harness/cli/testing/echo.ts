/** Runs on a terminal a guest that shows each byte it is sent, in hexadecimal, after it has said that it is ready. */
import { runOnTerminal } from '../console.ts';
import { type Step, scriptedGuest } from './scriptedguest.ts';

let seen = 0;
const start: Step = (guest) => void guest.print('ready\r\n');
const echo: Step = (guest) => {
  for (; seen < guest.typed.length; seen++) guest.print(`<${guest.typed.charCodeAt(seen).toString(16)}>`);
  return undefined;
};
const guest = scriptedGuest([start, ...Array<Step>(30_000).fill(echo), () => 'poweroff']);
const controller = new AbortController();
process.on('SIGTERM', () => controller.abort());
const end = await runOnTerminal(guest, process.stdin, process.stdout, {
  drained: () => undefined,
  signal: controller.signal,
});
console.log(`ended: ${end?.reason ?? 'by the user'}, raw: ${process.stdin.isRaw}`);
