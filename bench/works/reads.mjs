/** Rows b, c, f and i: gets, scans, ranges, memory, keys beside large values. Every answer is checked. */
import { diskBytes, median, memoryMiB, mustEqual } from '../figures.mjs';

const CHUNK = 10_000;
const now = () => performance.now();

/** Until all `below` records were met once and the code is warm, or twice the time of the work is over. */
async function warmUp({ peer, records }, below, chunk, seconds) {
  const began = now();
  for (let met = 0; now() - began < seconds * 2000; met += chunk) {
    if (met >= below && now() - began > seconds * 500) return;
    await peer.gets(records.keys, records.picks(chunk, below, 100_000 + met), 0, chunk);
  }
}

/** Random gets among the first `below` records; every chunk's sum of ids is checked, outside the clock. */
export async function gets(job, below = job.records.count, seconds = job.seconds) {
  const { peer, records } = job;
  const chunk = Math.min(CHUNK, below);
  await warmUp(job, below, chunk, seconds);
  let done = 0;
  let spent = 0;
  for (let round = 0; spent < seconds * 1000; round++) {
    const picks = records.picks(chunk, below, 1000 + round);
    const start = now();
    const sum = await peer.gets(records.keys, picks, 0, chunk);
    spent += now() - start;
    done += chunk;
    let expected = 0;
    for (const pick of picks) expected += records.idOf(pick);
    mustEqual(sum, expected, 'sum of ids');
  }
  return { rate: (done / spent) * 1000 };
}

/** Runs `once` until the time is up, at least twice (the first time warms up); the median of the others counts. */
export async function repeated(job, once, check) {
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

export function scan(job) {
  let sum = 0;
  for (let i = 0; i < job.records.count; i++) sum += job.records.idOf(i);
  const check = (answer) => {
    mustEqual(answer.count, job.records.count, 'count');
    mustEqual(answer.sum, sum, 'sum of ids');
  };
  return repeated(job, () => job.peer.scan(), check);
}

export function scanKeys(job) {
  const check = (count) => mustEqual(count, job.records.count, 'count');
  return repeated(job, () => job.peer.scanKeys(), check);
}

const RANGE = 100;

/** The last keys in order, found without sorting all: a range that begins among them is shorter. */
function lastKeys(keys) {
  const last = [];
  for (const key of keys) {
    if (last.length === RANGE && key < last[0]) continue;
    last.push(key);
    last.sort();
    if (last.length > RANGE) last.shift();
  }
  return last;
}

function ranges(job) {
  const { count, keys } = job.records;
  const picks = job.records.picks(Math.min(10_000, Math.ceil(count / RANGE)), count, 3);
  const starts = Array.from(picks, (pick) => keys[pick]);
  const last = lastKeys(keys);
  const lengthFrom = (start) => (start < last[0] ? RANGE : last.length - last.indexOf(start));
  const expected = starts.reduce((total, start) => total + lengthFrom(start), 0);
  const check = (answer) => mustEqual(answer.count, expected, 'records in ranges');
  return repeated(job, () => job.peer.ranges(starts, RANGE), check);
}

/** The first scan is over a cold page cache (where the runner could make it cold): what it reads from the disk is counted. */
async function keysBesideLarge(job) {
  const before = diskBytes();
  mustEqual(await job.peer.scanKeys(), job.records.count, 'count');
  const after = diskBytes();
  const valuesMB = (job.records.count * job.records.payloadBytes) / 1e6;
  const coldReadMB = before && (after.read - before.read) / 1e6;
  return { ...(await scanKeys(job)), coldReadMB, valuesMB };
}

/** Memory while the database is open, after gets all over it; what the harness itself takes is told beside it. */
async function memory(job) {
  await gets(job);
  const { anonymous, file } = memoryMiB();
  return {
    value: anonymous + file,
    anonymousMiB: anonymous,
    fileMiB: file,
    harnessMiB: job.harness.anonymous + job.harness.file,
  };
}

export const readWorks = [
  {
    name: 'gets',
    row: 'b',
    about: 'random gets over all records, decoded object',
    unit: 'gets/s',
    kind: 'reads',
    needs: ['gets'],
    against: { lmdb: { target: 1.2, floor: 1.0 }, 'lmdb-cache': {} },
    run: (job) => gets(job),
  },
  {
    name: 'hot',
    row: 'b',
    about: 'gets in a hot set of 10,000',
    unit: 'gets/s',
    kind: 'reads',
    needs: ['gets'],
    against: { 'lmdb-cache': { target: 0.8 }, lmdb: { floor: 2.0 } },
    run: (job) => gets(job, Math.min(10_000, job.records.count)),
  },
  {
    name: 'scan',
    row: 'c',
    about: 'full scan, values decoded',
    unit: 'rec/s',
    needs: ['scan'],
    against: { lmdb: { target: 3.0, floor: 1.5 } },
    run: scan,
  },
  {
    name: 'scan-keys',
    row: 'c',
    about: 'full scan, keys only',
    unit: 'keys/s',
    needs: ['scanKeys'],
    against: { lmdb: { target: 4.0, floor: 1.5 } },
    run: scanKeys,
  },
  {
    name: 'ranges',
    row: 'c',
    about: 'ranges of 100 records, decoded',
    unit: 'rec/s',
    needs: ['ranges'],
    against: { lmdb: { target: 2.5, floor: 1.2 } },
    run: ranges,
  },
  {
    name: 'memory',
    row: 'f',
    about: 'resident memory after random gets',
    unit: 'MiB',
    lower: true,
    kind: 'reads',
    needs: ['gets'],
    against: { lmdb: { target: 1.0, floor: 1.5 } },
    run: memory,
  },
  {
    name: 'keys-large',
    row: 'i',
    about: 'keys-only scan beside values of 10 KB',
    unit: 'keys/s',
    data: 'large',
    cold: true,
    needs: ['scanKeys'],
    against: { lmdb: { target: 3.0, floor: 1.0 } },
    run: keysBesideLarge,
  },
];
