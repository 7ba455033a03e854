/**
 * The works, row by row of the table in the report. Each runs in a child process of its own, over a folder that holds the
 * records in the order they were inserted at random (`fresh` ones make their own), and answers `{ rate | value, ... }`.
 *
 * A work names what it is judged by: `against` a peer, the ratio aimed at (`target`) and the one below which the design
 * would be wrong (`floor`); `lower: true` where less is better.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const TRANSACTION = 10_000;
const CHUNK = 10_000;
const now = () => performance.now();

/** Loads everything in durable transactions of 10,000 and settles: the last checkpoint is part of the work. */
async function load(job, order) {
  const { peer, records } = job;
  const start = now();
  for (let from = 0; from < order.length; from += TRANSACTION) {
    await peer.writeBatch(records.keys, records.valueOf, order, from, Math.min(from + TRANSACTION, order.length));
  }
  const written = now();
  await peer.settle();
  const end = now();
  return { rate: (order.length / (end - start)) * 1000, withoutSettling: (order.length / (written - start)) * 1000 };
}

/** Random gets among the first `below` records; every chunk's sum of ids is checked, outside the clock. */
async function gets(job, below) {
  const { peer, records, seconds } = job;
  const chunk = Math.min(CHUNK, below);
  const warmUp = records.picks(below, below, 1);
  const warmUntil = now() + seconds * 2000;
  for (let from = 0; from < below && now() < warmUntil; from += chunk) {
    await peer.gets(records.keys, warmUp, from, Math.min(from + chunk, below));
  }
  let done = 0;
  let spent = 0;
  for (let round = 0; spent < seconds * 1000; round++) {
    const picks = records.picks(chunk, below, 1000 + round);
    const start = now();
    const sum = await peer.gets(records.keys, picks, 0, chunk);
    spent += now() - start;
    done += chunk;
    mustEqual(
      sum,
      picks.reduce((total, pick) => total + records.idOf(pick), 0),
      'sum of ids',
    );
  }
  return { rate: (done / spent) * 1000, residentMiB: residentMiB() };
}

/** Runs `once` until the time is up, at least twice (the first time warms up); the median of the others counts. */
async function repeated(job, once, check) {
  const rates = [];
  check(await once());
  const until = now() + job.seconds * 1000;
  while (rates.length === 0 || now() < until) {
    const start = now();
    const answer = await once();
    rates.push(((answer.count ?? answer) / (now() - start)) * 1000);
    check(answer);
  }
  return { rate: median(rates) };
}

/** `clients` callers, each with one durable transaction under way at a time; rate and latencies. */
async function clients(job, count, once) {
  const { seconds } = job;
  const latencies = [];
  const warmUntil = now() + 500;
  const until = warmUntil + seconds * 1000;
  const client = async (number) => {
    const pick = job.records.picks(1 << 16, job.records.count, 7000 + number);
    for (let i = 0; ; i = (i + 1) & 0xffff) {
      const start = now();
      if (start >= until) return;
      await once(pick[i], i, count);
      if (start >= warmUntil) latencies.push(now() - start);
    }
  };
  await Promise.all(Array.from({ length: count }, (_, number) => client(number)));
  const sorted = Float64Array.from(latencies).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return { rate: sorted.length / seconds, p50ms: at(0.5), p99ms: at(0.99), p999ms: at(0.999), maxMs: at(1) };
}

/** Every value is a new one: SQLite writes and syncs nothing where a record is replaced by its equal. */
const put = (job) => (pick, i, count) =>
  job.peer.put(job.records.keys[pick], { ...job.records.valueOf(pick), score: i / 10 }, count);

const transfer = (job) => (pick, i, count) => {
  const accounts = Math.min(10_000, job.records.count);
  const from = pick % accounts;
  const to = (from + 1 + (i % (accounts - 1))) % accounts;
  return job.peer.transfer(job.records.keys[from], job.records.keys[to], 1, count);
};

export const works = [
  {
    name: 'load-sorted',
    row: 'a',
    about: 'sorted bulk load, last checkpoint included',
    unit: 'rec/s',
    fresh: true,
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
    against: { rocksdb: { target: 1.5, floor: 1.0 }, lmdb: {} },
    run: (job) => load(job, job.records.insertOrder()),
  },
  {
    name: 'gets',
    row: 'b',
    about: 'random gets over all records, decoded object',
    unit: 'gets/s',
    against: { lmdb: { target: 1.2, floor: 1.0 }, 'lmdb-cache': {} },
    run: (job) => gets(job, job.records.count),
  },
  {
    name: 'hot',
    row: 'b',
    about: 'gets in a hot set of 10,000',
    unit: 'gets/s',
    against: { 'lmdb-cache': { target: 0.8 }, lmdb: { floor: 2.0 } },
    run: (job) => gets(job, Math.min(10_000, job.records.count)),
  },
  {
    name: 'scan',
    row: 'c',
    about: 'full scan, values decoded',
    unit: 'rec/s',
    against: { lmdb: { target: 3.0, floor: 1.5 } },
    run: (job) => {
      let sum = 0;
      for (let i = 0; i < job.records.count; i++) sum += job.records.idOf(i);
      return repeated(
        job,
        () => job.peer.scan(),
        (answer) => {
          mustEqual(answer.count, job.records.count, 'count');
          mustEqual(answer.sum, sum, 'sum of ids');
        },
      );
    },
  },
  {
    name: 'scan-keys',
    row: 'c',
    about: 'full scan, keys only',
    unit: 'keys/s',
    against: { lmdb: { target: 4.0, floor: 1.5 } },
    run: (job) =>
      repeated(
        job,
        () => job.peer.scanKeys(),
        (count) => mustEqual(count, job.records.count, 'count'),
      ),
  },
  {
    name: 'ranges',
    row: 'c',
    about: 'ranges of 100 records, decoded',
    unit: 'rec/s',
    against: { lmdb: { target: 2.5, floor: 1.2 } },
    run: (job) => {
      const picks = job.records.picks(Math.min(10_000, job.records.count / 100), job.records.count, 3);
      const starts = Array.from(picks, (pick) => job.records.keys[pick]);
      return repeated(
        job,
        () => job.peer.ranges(starts, 100),
        (answer) => {
          // A range that starts near the end is shorter: all but a few records are there.
          if (answer.count < starts.length * 95)
            throw new Error(`only ${answer.count} records in ${starts.length} ranges`);
        },
      );
    },
  },
  {
    name: 'put1',
    row: 'd',
    about: 'one put per durable transaction, 1 client',
    unit: 'tx/s',
    against: { sqlite: { target: 1.05, floor: 0.8 }, lmdb: {} },
    run: (job) => clients(job, 1, put(job)),
  },
  {
    name: 'put64',
    row: 'd',
    about: 'one put per durable transaction, 64 clients',
    unit: 'tx/s',
    against: { lmdb: { target: 3.0, floor: 2.0 } },
    run: (job) => clients(job, 64, put(job)),
  },
  {
    name: 'transfer1',
    row: 'e',
    about: 'transfers (2 reads, 2 writes), 1 client',
    unit: 'tx/s',
    needs: 'transfer',
    against: { sqlite: { target: 1.0, floor: 0.8 } },
    run: (job) => clients(job, 1, transfer(job)),
  },
  {
    name: 'transfer64',
    row: 'e',
    about: 'transfers (2 reads, 2 writes), 64 clients',
    unit: 'tx/s',
    needs: 'transfer',
    against: { sqlite: { target: 1.9, floor: 1.2 } },
    run: (job) => clients(job, 64, transfer(job)),
  },
  {
    name: 'size',
    row: 'f',
    about: 'size on disk after the random load',
    unit: 'MB',
    lower: true,
    closed: true,
    against: { sqlite: { target: 0.59, floor: 1.0 }, lmdb: {} },
    run: (job) => ({ value: allocatedBytes(job.folder) / 1e6 }),
  },
  {
    name: 'memory',
    row: 'f',
    about: 'resident memory after random gets',
    unit: 'MiB',
    lower: true,
    against: { lmdb: { target: 1.0, floor: 1.5 } },
    run: async (job) => {
      const { residentMiB: value } = await gets(job, job.records.count);
      return { value, harnessMiB: job.harnessMiB };
    },
  },
  {
    name: 'open',
    row: 'h',
    about: 'load the code, open, first get, in a new process',
    unit: 'ms',
    lower: true,
    ownProcess: 'open-child.mjs',
    against: { sqlite: { target: 0.54, floor: 2.15 } },
  },
];

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function mustEqual(found, expected, what) {
  if (found !== expected) throw new Error(`${what}: ${found} found, ${expected} expected`);
}

export function residentMiB() {
  globalThis.gc?.();
  return process.memoryUsage.rss() / 1048576;
}

function allocatedBytes(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).blocks * 512;
  }
  return bytes;
}
