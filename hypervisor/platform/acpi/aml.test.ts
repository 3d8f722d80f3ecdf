import test from 'ava';
import { arg0, buffer, device, eisaId, integer, method, name, pkg, scope, store, string } from './aml.ts';
import { ioPorts, isaIrq, resourceTemplate } from './resources.ts';

const hex = (bytes: readonly number[]): string => Buffer.from(bytes).toString('hex');

test('integers take the shortest encoding', (t) => {
  t.is(hex(integer(0)), '00');
  t.is(hex(integer(1)), '01');
  t.is(hex(integer(0xff)), '0aff');
  t.is(hex(integer(0x100)), '0b0001');
  t.is(hex(integer(0xfeff_ffff)), '0cfffffffe');
});

test('names have one, two or more segments, from the root or not', (t) => {
  t.is(hex(name('A', integer(1))), '08' + '415f5f5f' + '01');
  t.is(hex(scope('\\_SB')), '1006' + '5c' + '5f53425f' + '');
  t.is(hex(scope('A.B')), '100a' + '2e' + '415f5f5f' + '425f5f5f');
  t.is(hex(scope('A.B.C')), '100f' + '2f03' + '415f5f5f' + '425f5f5f' + '435f5f5f');
});

test('a package length counts itself, in one to three bytes', (t) => {
  const lengthOf = (content: number) => hex(buffer(new Array<number>(content).fill(0)).slice(1, 4));
  t.is(lengthOf(60).slice(0, 2), '3f'); // 1 + 2 for the size + 60
  t.is(lengthOf(61).slice(0, 4), '4104'); // 2 + 2 + 61 = 0x041
  t.is(lengthOf(4000).slice(0, 4), '45fa'); // 2 + 3 + 4000 = 0xfa5
  t.is(lengthOf(5000).slice(0, 6), '8e3801'); // 3 + 3 + 5000 = 0x138e
});

test('an EISA ID is compressed', (t) => {
  t.is(hex(eisaId('PNP0A03')), '0c41d00a03');
});

test('devices, methods, packages and strings', (t) => {
  t.is(hex(device('D', name('_UID', integer(0)))), '5b820b' + '445f5f5f' + '085f55494400');
  t.is(
    hex(method('_PIC', 1, store(arg0, name('X', integer(0)).slice(1, 5)))),
    '140c' + '5f504943' + '01' + '7068585f5f5f',
  );
  t.is(hex(pkg(integer(0), string('A'))), '1206' + '02' + '00' + '0d4100');
});

test('a resource template ends with its end tag', (t) => {
  t.is(
    hex(resourceTemplate(ioPorts(0x3f8, 8), isaIrq(4))),
    '1110' + '0a0d' + '4701f803f8030108' + '221000' + '7900',
  );
});
