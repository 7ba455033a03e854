/**
 * The mark of an unfinished backup. It was removed and written anew when an unfinished backup was taken up again: a crash in
 * between left copies without a mark, and a folder that no backup would take any more.
 */
import { describe, expect, it } from 'vitest';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import { DatabaseFolder } from '../../../src/storage/database-folder.ts';

describe('the mark of an unfinished backup', () => {
  it('is there at every moment once it was made', async () => {
    for (const operation of ['remove', 'create', 'write', 'sync', 'rename', 'syncFolder'] as const) {
      const world = new SimulatedWorld(1, { traceLength: 0 });
      const process = world.startProcess();
      await world.run(async () => {
        process.files.createFolder('/disk');
        process.files.createFolder('/disk/backup');
        const folder = new DatabaseFolder(process, '/disk/backup');
        const id = new Uint8Array(16).fill(7);
        folder.markIncomplete(id);
        process.files.createFolder('/disk/backup/data');
        world.fail({ operation, error: 'EIO' });
        try {
          folder.markIncomplete(id);
        } catch {
          // The disk refuses, or the lights go out here.
        }
        world.clearFaults();
        expect(folder.incompleteId(), operation).toBe('07'.repeat(16));
        folder.markIncomplete(id);
        expect(folder.incompleteId()).toBe('07'.repeat(16));
      });
    }
  });
});
