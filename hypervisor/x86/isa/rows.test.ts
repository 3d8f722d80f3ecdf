/** The opcode tables as a whole. */
import test from 'ava';
import { ModuleBuilder } from '../../wasm/module.ts';
import { handlerType, importCore } from '../core/core.ts';
import { Decoder } from '../decode/decoder.ts';
import { buildOpcodeMap } from '../decode/opcodemap.ts';
import type { Form } from '../form.ts';
import { buildHandler } from '../interpret/handler.ts';
import { rows } from './rows.ts';

const maps = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const prefixes = [[], [0x66], [0xf2], [0xf3]];

/** One encoding of every form of every instruction, in 16-, 32- and 64-bit code. */
function allForms(): Map<number, Form> {
  const decoder = new Decoder(buildOpcodeMap(rows));
  const forms = new Map<number, Form>();
  const bytes = new Uint8Array(20);
  for (let codeSize = 0; codeSize < 3; codeSize++)
    for (const rex of codeSize === 2 ? [[], [0x48]] : [[]])
      for (const prefix of prefixes)
        for (const map of maps)
          for (let opcode = 0; opcode < 256; opcode++)
            for (let modrm = 0x01; modrm < 0x100; modrm = modrm + 8 === 0x41 ? 0xc1 : modrm + 8) {
              bytes.fill(0);
              bytes.set([...prefix, ...rex, ...map, opcode, modrm]);
              if (decoder.decode(bytes, 0, bytes.length, 0, codeSize) === 'instruction')
                forms.set(decoder.formNumber, decoder.form);
            }
  return forms;
}

test('the handler of every form can be made and is valid WebAssembly', (t) => {
  const forms = allForms();
  t.true(forms.size > 3000, `${forms.size} forms`);
  const module = new ModuleBuilder();
  module.importMemory('host', 'memory', 1, 1);
  module.importTable('core', 'table', handlerType, 1);
  const core = importCore(module);
  for (const [name, form] of forms) {
    const fail = (error: unknown) => `${form.row.name} (form ${name}): ${(error as Error).message}`;
    try {
      module.define(`${name}`, handlerType, (fn) => buildHandler(fn, core, form));
    } catch (error) {
      t.fail(fail(error));
    }
  }
  t.true(WebAssembly.validate(module.finish()));
});
