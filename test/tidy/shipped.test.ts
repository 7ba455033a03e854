/** What is shipped is the source and nothing else: no test, and no mistake that a test plants. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { PLANTED_BUGS } from '../sim/planted-bugs.ts';

const root = join(import.meta.dirname, '..', '..');

describe('what is shipped', () => {
  it('is bundled from the source alone, and holds none of the planted mistakes', async () => {
    const { outputFiles, metafile } = await build({
      entryPoints: [join(root, 'src/index.ts'), join(root, 'src/cli/main.ts')],
      absWorkingDir: root,
      bundle: true,
      platform: 'node',
      format: 'esm',
      outdir: 'nowhere',
      external: ['ioredis', 'cassandra-driver'],
      metafile: true,
      write: false,
      logLevel: 'silent',
    });
    const strangers = Object.keys(metafile.inputs).filter((path) => !path.startsWith('src/'));
    expect(strangers).toEqual([]);
    const text = outputFiles.map((file) => file.text).join('\n');
    expect(text.length).toBeGreaterThan(100_000);
    expect(PLANTED_BUGS.length).toBeGreaterThanOrEqual(36);
    for (const { name } of PLANTED_BUGS) expect(text).not.toContain(name);
    expect(text).not.toMatch(/\bplanted\b/i);
    const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
    expect(files.filter((path) => path.startsWith('test'))).toEqual([]);
  });
});
