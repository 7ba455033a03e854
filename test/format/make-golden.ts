/** Writes the golden folder of the current format: `node test/format/make-golden.ts v1`. Once per version; never overwritten. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeGolden } from './golden-content.ts';

const folder = join(import.meta.dirname, 'golden', process.argv[2] ?? '');
if (process.argv[2] === undefined || existsSync(folder)) throw new Error('name a version that is not there yet');
await writeGolden(folder);
