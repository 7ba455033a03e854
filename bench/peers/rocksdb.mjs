/**
 * RocksDB through rocksdb-native, values as JSON. The binding has no synced writes, so the write-ahead log is synced by
 * us: its writes have reached the system when a flush of a batch answers, and fdatasync on that file makes them durable.
 * Reads are asked in batches of 64, the best the binding does. No transactions: it takes no part in transfers. The binding lets
 * nobody set the size of the block cache.
 */
import { closeSync, fdatasync, fdatasyncSync, openSync } from 'node:fs';
import { join } from 'node:path';
import RocksDB from 'rocksdb-native';
import { groupCommit } from '../group.mjs';

/** How much may be written before we ask again whether a new log file was begun (one begins every 64 MiB). */
const ASK_EVERY_BYTES = 1 << 20;
const RECORD_BYTES = 150;

export async function open(folder) {
  const db = new RocksDB(folder);
  await db.ready();
  let log = { number: -1, fd: -1 };
  let unasked = ASK_EVERY_BYTES;

  async function currentLog(bytes) {
    unasked += bytes;
    if (unasked < ASK_EVERY_BYTES) return log.fd;
    unasked = 0;
    const { path, number } = await db.currentWalFile();
    if (number !== log.number) {
      if (log.fd >= 0) {
        fdatasyncSync(log.fd);
        closeSync(log.fd);
      }
      log = { number, fd: openSync(join(folder, path), 'r+') };
    }
    return log.fd;
  }

  async function writeSynced(puts, wait) {
    const batch = db.write({ capacity: puts.length, autoDestroy: true });
    for (const [key, value] of puts) batch.tryPut(key, JSON.stringify(value));
    await batch.flush();
    const fd = await currentLog(puts.length * RECORD_BYTES);
    if (wait) fdatasyncSync(fd);
    else await new Promise((resolve, reject) => fdatasync(fd, (error) => (error ? reject(error) : resolve())));
  }

  const grouped = groupCommit((puts) => writeSynced(puts, false));

  return {
    writeBatch: (keys, values, order, from, to) => {
      const puts = new Array(to - from);
      for (let i = from; i < to; i++) puts[i - from] = [keys[order[i]], values(order[i])];
      return writeSynced(puts, true);
    },
    settle: () => db.flush(),
    // Compaction follows by itself.
    upkeep: () => db.flush(),
    get: async (key) => JSON.parse((await db.get(key)).toString()),
    gets: async (keys, picks, from, to) => {
      let sum = 0;
      for (let start = from; start < to; start += 64) {
        const batch = db.read({ capacity: 64, autoDestroy: true });
        const answers = [];
        for (let i = start; i < Math.min(start + 64, to); i++) answers.push(batch.get(keys[picks[i]]));
        batch.tryFlush();
        for (const bytes of await Promise.all(answers)) sum += JSON.parse(bytes.toString()).id;
      }
      return sum;
    },
    scan: async () => {
      let count = 0;
      let sum = 0;
      for await (const { value } of db.iterator({}, { capacity: 1024 })) {
        count++;
        sum += JSON.parse(value.toString()).id;
      }
      return { count, sum };
    },
    scanKeys: async () => {
      let count = 0;
      for await (const { key } of db.iterator({}, { capacity: 1024, values: false }))
        if (key.toString() !== '') count++;
      return count;
    },
    ranges: async (starts, length) => {
      let count = 0;
      let sum = 0;
      for (const start of starts) {
        for await (const { value } of db.iterator({ gte: start }, { capacity: length, limit: length })) {
          count++;
          sum += JSON.parse(value.toString()).id;
        }
      }
      return { count, sum };
    },
    put: (key, value, clients) => (clients === 1 ? writeSynced([[key, value]], true) : grouped([key, value])),
    hold: async () => {
      const snapshot = db.snapshot();
      await snapshot.ready();
      return () => snapshot.close();
    },
    close: async () => {
      if (log.fd >= 0) closeSync(log.fd);
      log = { number: -1, fd: -1 };
      await db.close();
    },
  };
}
