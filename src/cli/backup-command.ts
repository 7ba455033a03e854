/** The verb that copies a database: backup. */
import { Database } from '../index.ts';
import { type Command, EXIT_DONE, takePositionals } from './command.ts';
import { writing } from './open.ts';
import { formatBytes, formatCount, formatDuration } from './output.ts';
import { Progress } from './progress.ts';

export const backupCommand: Command = {
  name: 'backup',
  summary: 'copy a database into a folder, only what is new the next time',
  usage: '<folder> <backup-folder>',
  details:
    'What it makes is a database. In a folder that holds an earlier backup of the same database only new files are copied; ' +
    'until all is durable it stays the earlier backup. Refused where the folder holds anything else, or a backup that was ' +
    'written to. An interrupted first backup is refused by everything but the next backup. A database that a program has ' +
    'open is backed up by that program, with db.backup.',
  options: {
    'read-only': { type: 'boolean', help: 'open the source for reading only; it must be wholly checkpointed' },
  },
  examples: [
    ['sop backup ./data /mnt/backup', 'a full copy'],
    ['sop backup ./data /mnt/backup', 'again: what is new since'],
    ['sop verify /mnt/backup', 'reads all of the copy'],
  ],
  async run(call) {
    const [folder, target] = takePositionals(call, '<folder>', '<backup-folder>') as [string, string];
    const { out } = call;
    const work = async (db: Database): Promise<number> => {
      const progress = new Progress(out, 'copying');
      const report = await db
        .backup(target, {
          signal: call.signal,
          onProgress: (at) => progress.show(at.bytesDone, at.bytesTotal, at.filesDone, 'files'),
        })
        .finally(() => progress.end());
      if (out.json) await out.line(JSON.stringify({ folder: target, ...report }));
      else {
        const { number, files, bytesCopied, bytesKept } = report;
        const what = `${formatBytes(bytesCopied)} copied, ${formatBytes(bytesKept)} kept in ${formatCount(files)} files`;
        const state = `everything up to transaction ${formatCount(number)}`;
        out.note(`${target} holds ${state}: ${what}, ${formatDuration(progress.elapsedMs)}`);
      }
      return EXIT_DONE;
    };
    if (call.options['read-only'] !== true) return writing(folder, false, work);
    await using db = await Database.open(folder, { readOnly: true });
    return await work(db);
  },
};
