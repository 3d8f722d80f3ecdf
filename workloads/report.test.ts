import test from 'ava';
import { longestLine, ReportReader } from './report.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const line = { workload: 'toucher', event: 'started', at_ns: 5 };

test('lines are put together from pieces, however they come', (t) => {
  const text = `${JSON.stringify(line)}\n${JSON.stringify({ ...line, extra: 1 })}\n`;
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new ReportReader();
    t.deepEqual(
      [...reader.push(bytes(text.slice(0, cut))), ...reader.push(bytes(text.slice(cut)))],
      [
        { kind: 'line', line },
        { kind: 'line', line: { ...line, extra: 1 } },
      ],
    );
  }
});

for (const [title, text, reason] of [
  ['no JSON', 'hello', /no JSON/],
  ['no object', '3', /expected object/],
  ['without an event', JSON.stringify({ workload: 'x', at_ns: 1 }), /event/],
  ['with a time that is none', JSON.stringify({ ...line, at_ns: -1 }), /at_ns/],
  ['a latency without buckets', JSON.stringify({ ...line, event: 'latency', name: 'read' }), /count|buckets/],
  ['too long', 'x'.repeat(longestLine + 1), /longer than/],
  ['too long by far', '[0,'.repeat(longestLine), /longer than/],
  ['bytes of any kind', '\u0000\u00ff\u001b', /no JSON/],
] as const) {
  test(`a line that is ${title} is told and passed over`, (t) => {
    const [damaged, good] = new ReportReader().push(bytes(`${text}\n${JSON.stringify(line)}\n`));
    t.is(damaged?.kind, 'damaged');
    t.regex((damaged as { reason: string }).reason, reason);
    t.deepEqual(good, { kind: 'line', line });
  });
}
