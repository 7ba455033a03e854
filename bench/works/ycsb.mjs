/**
 * YCSB's core workloads by 64 clients: A 50 % reads, 50 % updates; B 95/5; C reads; D reads of the latest, 5 % inserts; E short
 * ranges (1 to 100), 5 % inserts; F reads and read-modify-writes, half each. Picks are zipfian and scrambled, in D by recency.
 * Updates are whole records, durable one by one; a read-modify-write is one transaction (peers without transactions sit out).
 */
import { latencies } from '../figures.mjs';
import { generator } from '../records.mjs';
import { scrambledZipf, zipfRanks } from '../zipf.mjs';

const CLIENTS = 64;
const now = () => performance.now();

/** How many of 100 operations are which; the rest are reads. */
const mixes = {
  A: { update: 50 },
  B: { update: 5 },
  C: {},
  D: { insert: 5, latest: true },
  E: { insert: 5, scan: 95 },
  F: { modify: 50 },
};

/** What is in the database: the records, and those that were inserted and acknowledged since. */
class Population {
  constructor(records, inserts) {
    this.records = records;
    this.fresh = inserts ? records.freshKeys(Math.min(500_000, records.count * 5)) : [];
    this.begun = 0;
    this.acknowledged = 0;
    this.ahead = new Set();
  }

  get size() {
    return this.records.count + this.acknowledged;
  }

  /** Counts what is there without a gap: answers may come in another order than the questions. */
  acknowledge(i) {
    if (i >= this.size) this.ahead.add(i);
    while (this.ahead.delete(this.size)) this.acknowledged++;
  }

  keyOf(i) {
    return i < this.records.count ? this.records.keys[i] : this.fresh[i - this.records.count];
  }
}

function operationsOf(job, people, number, mix) {
  const { peer, records } = job;
  const next = generator(job.seed * 1000 + number);
  const scrambled = scrambledZipf(records.count, number + 1);
  const recency = mix.latest ? zipfRanks(records.count, number + 1) : undefined;
  const pick = () => (recency === undefined ? scrambled() : people.size - 1 - recency());
  const changed = (i) => records.changed(i, next() % 1_000_000);

  return {
    read: async () => {
      const i = pick();
      const value = await peer.get(people.keyOf(i));
      if (value?.id !== records.idOf(i)) throw new Error(`record ${i} reads as ${JSON.stringify(value)}`);
    },
    update: () => {
      const i = pick();
      return peer.put(people.keyOf(i), changed(i), CLIENTS);
    },
    modify: () => peer.modify(people.keyOf(pick()), (value) => ({ ...value, score: value.score + 1 }), CLIENTS),
    scan: async () => {
      const length = 1 + (next() % 100);
      const { count } = await peer.ranges([people.keyOf(pick())], length);
      if (count < 1 || count > length) throw new Error(`a range of ${length} had ${count} records`);
    },
    insert: async () => {
      const i = records.count + (people.begun++ % people.fresh.length);
      await peer.put(people.keyOf(i), records.valueOf(i), CLIENTS);
      people.acknowledge(i);
    },
    chance: () => next() % 100,
  };
}

function kindOf(chance, mix) {
  for (const kind of ['update', 'insert', 'scan', 'modify']) {
    if (chance < (mix[kind] ?? 0)) return kind;
    chance -= mix[kind] ?? 0;
  }
  return 'read';
}

async function run(job, mix) {
  const people = new Population(job.records, mix.insert !== undefined);
  const clients = Array.from({ length: CLIENTS }, (_, number) => operationsOf(job, people, number, mix));
  const taken = [];
  let puts = 0;
  let done = 0;
  const from = now() + job.seconds * 500;
  const until = from + job.seconds * 1000;
  const runClient = async (operations) => {
    for (let start = now(); start < until; start = now()) {
      const kind = kindOf(operations.chance(), mix);
      await operations[kind]();
      const isWrite = kind !== 'read' && kind !== 'scan';
      if (isWrite) puts++;
      if (start < from) continue;
      done++;
      if (isWrite) taken.push(now() - start);
    }
  };
  await Promise.all(clients.map(runClient));
  return { rate: (done / (now() - from)) * 1000, puts, ...(taken.length > 0 && latencies(taken)) };
}

const about = {
  A: 'half reads, half updates',
  B: '95 % reads, 5 % updates',
  C: 'reads',
  D: 'reads of the latest, 5 % inserts',
  E: 'ranges of up to 100, 5 % inserts',
  F: 'half reads, half read-modify-writes',
};

export const ycsbWorks = Object.entries(mixes).map(([letter, mix]) => ({
  name: `ycsb-${letter.toLowerCase()}`,
  row: 'ycsb',
  about: `YCSB ${letter}: ${about[letter]}; 64 clients, zipfian`,
  unit: 'op/s',
  writes: letter !== 'C',
  copies: mix.insert !== undefined,
  kind: 'clients',
  needs: ['get', ...(mix.update || mix.insert ? ['put'] : []), ...(mix.modify ? ['modify'] : []), 'ranges'],
  against: { lmdb: {}, sqlite: {}, rocksdb: {} },
  run: (job) => run(job, mix),
}));
