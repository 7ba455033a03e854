/** The log on a real file system, direct I/O and log thread included. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasNativeModule, nodeEnv } from '../../../src/env/node-env.ts';
import type { FileCommitLog } from '../../../src/log/file-commit-log.ts';
import { batchOf, open, put, putSync, readTexts, texts } from '../../helpers/log-model.ts';

describe.skipIf(!hasNativeModule())('a log on real files', () => {
  it('gives back what was committed, switched and left behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sop-log-'));
    try {
      const env = nodeEnv();
      const first = (await open(env, { folder })).log as FileCommitLog;
      putSync(first, ...texts(0, 3));
      const commits: Promise<void>[] = [];
      for (let i = 3; i < 40; i++) {
        const batch = batchOf(first, texts(i, i + 1));
        commits.push(first.commit(batch));
        batch.release();
        if (i === 20) commits.push(first.switchEpoch(undefined));
        if (i % 10 === 0) await Promise.all(commits.splice(0));
      }
      await Promise.all(commits);
      expect(first.epoch).toBe(2);
      // Left open: the next one takes over and the first is told so.
      const opening = await open(env, { folder });
      expect(readTexts(opening)).toEqual(texts(0, 40));
      expect(() => putSync(first, 'too late')).toThrow(expect.objectContaining({ code: 'DATABASE_FAILED' }));
      await first.close();
      await put(opening.log as FileCommitLog, 'text 40');
      await opening.log?.close();
      const last = await open(env, { folder });
      expect(readTexts(last)).toEqual(texts(0, 41));
      await last.log?.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
