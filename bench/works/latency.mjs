/**
 * Latency under a fixed arrival rate: operations begin when they are due, whether or not earlier ones were answered, and each is
 * measured from the moment it was due. A database that stalls for a second is charged for all that was due in that second.
 */
import { latencies } from '../figures.mjs';
import { generator } from '../records.mjs';

const COMMITS_PER_SECOND = 1000;
const READS_PER_COMMIT = 2;
/** The first operations warm up and are not counted. */
const WARM_UP = 0.2;
const now = () => performance.now();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks for the peer's own upkeep (checkpoint, compaction, flush) again and again, `pauseMs` apart. */
async function upkeepUntil(peer, pauseMs, isOver) {
  const times = [];
  while (peer.upkeep !== undefined && !isOver()) {
    const began = now();
    await peer.upkeep();
    times.push(now() - began);
    await pause(pauseMs);
  }
  return { upkeeps: times.length, longestUpkeepMs: Math.max(0, ...times) };
}

/** Starts operation number `next` for all that are due; answers when the last of `total` was started. */
async function startWhenDue(total, perSecond, began, startOne) {
  for (let next = 0; next < total; ) {
    const since = now() - began;
    for (; next < total && (next * 1000) / perSecond <= since; next++)
      startOne(next, began + (next * 1000) / perSecond);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function openLoop(job, pauseMs) {
  const { peer, records } = job;
  const perSecond = (job.rate ?? COMMITS_PER_SECOND) * (1 + READS_PER_COMMIT);
  const total = Math.round(perSecond * job.seconds * 3);
  const next = generator(job.seed + 77);
  const commits = [];
  const reads = [];
  const waiting = [];
  // A synchronous peer answers before the next is started; what waited for it is late, and is charged.
  const startOne = (number, due) => {
    const i = next() % records.count;
    const isCommit = number % (1 + READS_PER_COMMIT) === 0;
    const list = number < total * WARM_UP ? [] : isCommit ? commits : reads;
    const operation = isCommit ? peer.put(records.keys[i], records.changed(i, number), 64) : peer.get(records.keys[i]);
    if (typeof operation?.then === 'function') waiting.push(operation.then(() => list.push(now() - due)));
    else list.push(now() - due);
  };
  let over = false;
  const upkeep = pauseMs === undefined ? {} : upkeepUntil(peer, pauseMs, () => over);
  const began = now();
  await startWhenDue(total, perSecond, began, startOne);
  await Promise.all(waiting);
  const spent = now() - began;
  over = true;
  return {
    value: latencies(commits).p999ms,
    reached: total / (spent / 1000) / perSecond,
    puts: total / (1 + READS_PER_COMMIT),
    ...latencies(commits),
    reads: latencies(reads),
    ...(await upkeep),
  };
}

const base = {
  row: 'latency',
  unit: 'ms',
  lower: true,
  writes: true,
  kind: 'clients',
  needs: ['put', 'get'],
};

export const latencyWorks = [
  {
    ...base,
    name: 'latency-quiet',
    about: '99.9th percentile of commits at a fixed rate, two reads beside each',
    against: { lmdb: {}, sqlite: {}, rocksdb: {} },
    run: (job) => openLoop(job, undefined),
  },
  {
    ...base,
    name: 'latency',
    about: 'the same while checkpoint and compaction run every half second',
    against: { lmdb: {}, sqlite: {}, rocksdb: {} },
    limit: 5,
    run: (job) => openLoop(job, 500),
  },
  {
    ...base,
    name: 'latency-busy',
    about: 'the same with one checkpoint after the other',
    against: { lmdb: {}, sqlite: {}, rocksdb: {} },
    limit: 5,
    run: (job) => openLoop(job, 1),
  },
];
