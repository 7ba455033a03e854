/**
 * Writes a golden folder of the current format: `node test/format/make-golden.ts v1`, or `v1-features` for one with all
 * features. Once per version; never overwritten.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeGolden } from './golden-content.ts';
import { writeFeatures } from './features-content.ts';

const version = process.argv[2];
const folder = join(import.meta.dirname, 'golden', version ?? '');
if (version === undefined || existsSync(folder)) throw new Error('name a version that is not there yet');
await (version.endsWith('-features') ? writeFeatures : writeGolden)(folder);
