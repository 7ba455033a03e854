/**
 * What age and company cost: gets beside changes that were not merged yet, updates under a snapshot that stays open (or a pin),
 * and space over time under random updates.
 */
import { allocatedBytes } from '../figures.mjs';
import { putAll } from './loads.mjs';
import { gets, scanKeys } from './reads.mjs';

const now = () => performance.now();
const SAMPLES = 16;

/** Random updates in durable transactions of 10,000 (or of a tenth of the records where these are few). */
async function update(job, howMany, round) {
  const { records } = job;
  const order = records.picks(howMany, records.count, 900 + round);
  const start = now();
  await putAll(job, order, (i) => records.changed(i, round * 1000 + (i % 1000)));
  return (howMany / (now() - start)) * 1000;
}

/** Three tenths of the records are changed; gets and a scan of keys before and after these are merged. */
async function unmerged(job) {
  const puts = Math.ceil(job.records.count * 0.3);
  await update(job, puts, 1);
  const tableShare = job.peer.tableShare?.();
  const half = { ...job, seconds: job.seconds / 2 };
  const rate = (await gets(half)).rate;
  const keysRate = (await scanKeys(half)).rate;
  const start = now();
  await job.peer.settle();
  const settleMs = now() - start;
  const merged = (await gets(half)).rate;
  const mergedKeys = (await scanKeys(half)).rate;
  return {
    value: (rate / merged) * 100,
    getsBefore: rate,
    getsAfter: merged,
    keysBefore: keysRate,
    keysAfter: mergedKeys,
    tableShare,
    settleMs,
    puts,
  };
}

/** The same updates without and with something old that must stay readable; then it is let go. */
async function underOld(job, hold) {
  const { peer, records, folder } = job;
  const puts = records.count;
  const half = { ...job, seconds: job.seconds / 2 };
  await peer.settle();
  const without = await update(job, puts, 1);
  await peer.settle();
  const sizeBefore = allocatedBytes(folder);
  const getsWithout = (await gets(half)).rate;
  const release = await hold(peer);
  const held = await update(job, puts, 2);
  await peer.settle();
  const sizeHeld = allocatedBytes(folder);
  const getsHeld = (await gets(half)).rate;
  await release();
  await update(job, Math.ceil(puts / 10), 3);
  await peer.upkeep?.();
  return {
    value: (held / without) * 100,
    updatesWithout: without,
    updatesHeld: held,
    getsWithout,
    getsHeld,
    MBbefore: sizeBefore / 1e6,
    MBheld: sizeHeld / 1e6,
    MBreleased: allocatedBytes(folder) / 1e6,
    puts: Math.ceil(puts * 2.1),
  };
}

/** Four times as many updates as there are records; the size on disk after each sixteenth, in payloads. */
async function space(job) {
  const { records, folder, peer } = job;
  const payload = records.count * records.payloadBytes;
  const each = Math.ceil((records.count * 4) / SAMPLES);
  const series = [{ updates: 0, MB: allocatedBytes(folder) / 1e6 }];
  for (let round = 1; round <= SAMPLES; round++) {
    await update(job, each, round);
    series.push({ updates: each * round, MB: allocatedBytes(folder) / 1e6 });
  }
  await peer.settle();
  await peer.upkeep?.();
  const settledMB = allocatedBytes(folder) / 1e6;
  const most = Math.max(...series.map((point) => point.MB));
  return { value: (most * 1e6) / payload, series, settledMB, payloadMB: payload / 1e6, puts: each * SAMPLES };
}

const base = { row: 'age', writes: true, copies: true, stored: true };

export const upkeepWorks = [
  {
    ...base,
    name: 'unmerged',
    about: 'gets beside changes to 3 of 10 records, as a share of gets after they were merged',
    unit: '%',
    needs: ['gets', 'scanKeys', 'writeBatch'],
    against: {},
    run: unmerged,
  },
  {
    ...base,
    name: 'snapshot',
    about: 'updates while an old snapshot stays open, as a share of updates without',
    unit: '%',
    needs: ['hold', 'gets', 'writeBatch'],
    against: {},
    run: (job) => underOld(job, (peer) => peer.hold()),
  },
  {
    ...base,
    name: 'pin',
    about: 'updates while a pin keeps an old state, as a share of updates without',
    unit: '%',
    needs: ['pin', 'gets', 'writeBatch'],
    against: {},
    run: (job) => underOld(job, (peer) => peer.pin()),
  },
  {
    ...base,
    name: 'space',
    about: 'most space under 4 random updates a record, in times the payload',
    unit: 'x',
    lower: true,
    needs: ['gets', 'writeBatch'],
    against: { lmdb: {}, sqlite: {}, rocksdb: {} },
    run: space,
  },
];
