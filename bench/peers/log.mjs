/**
 * A yardstick without a database: a file to which JSON lines are appended, one fdatasync a transaction or group. What it cannot
 * do is read; what it shows is what the disk and the system allow a database to reach.
 */
import { closeSync, fdatasync, fdatasyncSync, openSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { groupCommit } from '../group.mjs';

const writeLater = promisify(write);
const syncLater = promisify(fdatasync);

export function open(folder) {
  const fd = openSync(join(folder, 'data.log'), 'a');
  const line = (key, value) => `${key} ${JSON.stringify(value)}\n`;

  function append(text) {
    writeSync(fd, text);
    fdatasyncSync(fd);
  }

  const grouped = groupCommit(async (lines) => {
    await writeLater(fd, lines.join(''));
    await syncLater(fd);
  });

  let isOpen = true;
  return {
    writeBatch: (keys, values, order, from, to) => {
      let text = '';
      for (let i = from; i < to; i++) text += line(keys[order[i]], values(order[i]));
      append(text);
    },
    settle: () => {},
    put: (key, value, clients) => (clients > 1 ? grouped(line(key, value)) : append(line(key, value))),
    close: () => {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}
