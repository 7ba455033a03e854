/** Row a: bulk loads in durable transactions of 10,000, and what they leave on the disk (row f). */
import { allocatedBytes } from '../figures.mjs';

const TRANSACTION = 10_000;
const now = () => performance.now();

/** Puts records `order[from..to)` in durable transactions. */
export async function putAll({ peer, records }, order, makeValue = records.valueOf) {
  const to = order.length;
  for (let start = 0; start < to; start += TRANSACTION) {
    await peer.writeBatch(records.keys, makeValue, order, start, Math.min(start + TRANSACTION, to));
  }
}

/** Loads everything and settles: the last checkpoint is part of the work. */
async function load(job, order) {
  const start = now();
  await putAll(job, order);
  const written = now();
  await job.peer.settle();
  const end = now();
  return {
    rate: (order.length / (end - start)) * 1000,
    withoutSettling: (order.length / (written - start)) * 1000,
    puts: order.length,
  };
}

export const loadWorks = [
  {
    name: 'load-sorted',
    row: 'a',
    about: 'sorted bulk load, last checkpoint included',
    unit: 'rec/s',
    fresh: true,
    needs: ['writeBatch'],
    against: { lmdb: { target: 1.1, floor: 0.7 } },
    run: (job) => load(job, job.records.sortedOrder()),
  },
  {
    name: 'load-random',
    row: 'a',
    about: 'random bulk load, last checkpoint included',
    unit: 'rec/s',
    fresh: true,
    keeps: true,
    needs: ['writeBatch'],
    against: { rocksdb: { target: 1.5, floor: 1.0 }, lmdb: {} },
    run: (job) => load(job, job.records.insertOrder()),
  },
  {
    name: 'load-large',
    row: 'i',
    about: 'load of records of 10 KB, in transactions of 10,000',
    unit: 'rec/s',
    data: 'large',
    fresh: true,
    keeps: true,
    needs: ['writeBatch'],
    against: { rocksdb: {}, lmdb: {} },
    run: (job) => load(job, job.records.insertOrder()),
  },
  {
    name: 'size',
    row: 'f',
    about: 'size on disk after the random load',
    unit: 'MB',
    lower: true,
    needs: ['gets'],
    stored: true,
    against: { sqlite: { target: 0.59, floor: 1.0 }, lmdb: {} },
    run: (job) => ({ value: allocatedBytes(job.folder) / 1e6 }),
  },
];
