/** A program that opens a database, says so, and keeps it open until it is told to close or is killed. */
import { defineStore, openDatabase } from './sop.ts';
import { hear, say } from './speaking.ts';

const [, , folder = ''] = process.argv;
const notes = defineStore<number, string>('notes');
const db = await openDatabase(folder);
await db.write((tx) => tx.store(notes).put(1, 'from the holder'));
say('holding');
hear((line) => {
  if (line === 'close') {
    void db.close().then(() => {
      say('closed');
    });
  } else if (line.startsWith('put ')) {
    const key = Number(line.slice(4));
    void db.write((tx) => tx.store(notes).put(key, 'more')).then(() => say(`put ${key}`));
  }
});
