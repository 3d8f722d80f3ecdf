/**
 * Writes the JSON Schemas that pagefold brings along, from the schemas in its code: `npm run schemas`. A test holds the
 * files equal to what this writes.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { resultJsonSchema } from '../reports/format/result.ts';
import { scenarioJsonSchema } from './scenario/schema.ts';

/** The files, by their place in the project, with their contents. */
export function schemaFiles(): Record<string, string> {
  const text = (schema: object) => `${JSON.stringify(schema, null, 2)}\n`;
  return {
    'reports/format/result.schema.json': text(resultJsonSchema()),
    'workloads/scenarios/scenario.schema.json': text(scenarioJsonSchema()),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, text] of Object.entries(schemaFiles())) {
    writeFileSync(new URL(`../${file}`, import.meta.url), text);
  }
}
