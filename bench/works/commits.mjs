/** Rows d and e: small durable transactions by one client and by 64, each with one under way at a time. */
import { latencies } from '../figures.mjs';

const now = () => performance.now();

/** `once(pick, i, clients)` is one transaction that writes `putsEach` records. Rate and latencies after a warm-up. */
export async function clients(job, count, putsEach, once) {
  const { seconds, records } = job;
  const taken = [];
  const warmUntil = now() + Math.min(500, seconds * 500);
  const until = warmUntil + seconds * 1000;
  let done = 0;
  const client = async (number) => {
    const picks = records.picks(1 << 14, records.count, 7000 + number);
    for (let i = 0; ; i = (i + 1) & 0x3fff) {
      const start = now();
      if (start >= until) return;
      await once(picks[i], done, count);
      done++;
      if (start >= warmUntil) taken.push(now() - start);
    }
  };
  await Promise.all(Array.from({ length: count }, (_, number) => client(number)));
  const last = now();
  return { rate: taken.length / ((last - warmUntil) / 1000), puts: done * putsEach, ...latencies(taken) };
}

/** Every value is a new one: SQLite writes and syncs nothing where a record is replaced by its equal. */
const put = (job) => (pick, i, count) => job.peer.put(job.records.keys[pick], job.records.changed(pick, i), count);

const transfer = (job) => (pick, i, count) => {
  const accounts = Math.min(10_000, job.records.count);
  const from = pick % accounts;
  const to = (from + 1 + (i % (accounts - 1))) % accounts;
  return job.peer.transfer(job.records.keys[from], job.records.keys[to], 1, count);
};

/** Transfers, and afterwards a look at whether money was made or lost. */
async function transfers(job, count) {
  const sumOf = async () => {
    let sum = 0;
    for (let i = 0; i < Math.min(10_000, job.records.count); i++)
      sum += (await job.peer.get(job.records.keys[i])).score;
    return sum;
  };
  const before = await sumOf();
  const result = await clients(job, count, 2, transfer(job));
  const after = await sumOf();
  if (Math.abs(after - before) > 1) throw new Error(`the accounts held ${before} before and ${after} after`);
  return result;
}

export const commitWorks = [
  {
    name: 'put1',
    row: 'd',
    about: 'one put per durable transaction, 1 client',
    unit: 'tx/s',
    writes: true,
    needs: ['put'],
    against: { sqlite: { target: 1.05, floor: 0.8 }, 'node-sqlite': {}, lmdb: {}, log: {} },
    run: (job) => clients(job, 1, 1, put(job)),
  },
  {
    name: 'put64',
    row: 'd',
    about: 'one put per durable transaction, 64 clients',
    unit: 'tx/s',
    writes: true,
    kind: 'clients',
    needs: ['put'],
    against: { lmdb: { target: 3.0, floor: 2.0 }, log: {} },
    run: (job) => clients(job, 64, 1, put(job)),
  },
  {
    name: 'transfer1',
    row: 'e',
    about: 'transfers (2 reads, 2 writes), 1 client',
    unit: 'tx/s',
    writes: true,
    needs: ['transfer'],
    against: { sqlite: { target: 1.0, floor: 0.8 }, 'node-sqlite': {} },
    run: (job) => transfers(job, 1),
  },
  {
    name: 'transfer64',
    row: 'e',
    about: 'transfers (2 reads, 2 writes), 64 clients',
    unit: 'tx/s',
    writes: true,
    kind: 'clients',
    needs: ['transfer'],
    against: { sqlite: { target: 1.9, floor: 1.2 }, 'sqlite-alone': {}, lmdb: {} },
    run: (job) => transfers(job, 64),
  },
];
