/**
 * A program that uses a database for a while and watches what it takes: `node --expose-gc soak-worker.ts folder seed seconds`. Many
 * clients write, scan and count; tables, trees and segments turn over; another database is opened and closed all the time; one
 * reader stays open from the first to the last moment and must see the same all along. Says
 *
 *   sample <JSON>   at rest, some twenty times       end <JSON>   figures, and what is wrong
 */
import { readdirSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import type { Transaction } from '../../src/store/transaction.ts';
import { folderBytes } from './folders.ts';
import { type Database, defineStore, openDatabase } from './sop.ts';
import { say } from './speaking.ts';

export interface SoakSample {
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly residentBytes: number;
  readonly descriptors: number;
  readonly threads: number;
}

interface Thing {
  readonly version: number;
  readonly text: string;
}

const KIB = 1024;
const OPTIONS = { tableBytes: 512 * KIB, cacheBytes: 4096 * KIB };
const THINGS = 3000;
const CLIENTS = 12;
const SAMPLES = 20;

const things = defineStore<number, Thing>('things');
const blobs = defineStore<number, Uint8Array>('blobs', { raw: true, values: 'separate' });

const [, , folder = '', seedText = '1', secondsText = '10'] = process.argv;
const random = new SeededRandom(Number(seedText));
const COME_BACK_MS = 20_000;
const counts = { writes: 0, scans: 0, cycles: 0, looks: 0, checkpoints: 0 };

const thing = (i: number, version: number): Thing => ({ version, text: `thing ${i} of version ${version}`.repeat(4) });

async function main(): Promise<void> {
  const wrong: string[] = [];
  // Whatever is loaded and started once is not a leak.
  await Promise.all(Array.from({ length: 16 }, () => stat(folder)));
  await cycle(0);
  const before = sample();
  const db = await openDatabase(join(folder, 'db'), OPTIONS);
  await db.write((tx) => {
    for (let i = 0; i < THINGS; i++) tx.store(things).put(i, thing(i, 0));
  });
  const reader = await db.begin('read');
  const samples: SoakSample[] = [];
  const ends = performance.now() + Number(secondsText) * 1000;
  for (let part = 0; part < SAMPLES; part++) {
    const partEnds = performance.now() + (ends - performance.now()) / (SAMPLES - part);
    await useFor(db, partEnds, part);
    await lookAgain(reader, wrong);
    await db.checkpoint();
    samples.push(sample());
    say(`sample ${JSON.stringify(samples.at(-1))}`);
  }
  await reader.rollback();
  const pinned = folderBytes(folder);
  await db.compact();
  const { live } = db.stats().sizeBytes;
  const { ok, problems } = await db.verify();
  if (!ok) wrong.push(`verify: ${JSON.stringify(problems.slice(0, 3))}`);
  counts.checkpoints = db.stats().checkpoints;
  await db.close();
  const settled = folderBytes(join(folder, 'db'));
  if (settled > 2 * live + (2 << 20)) wrong.push(`${settled} bytes of files stay for ${live} of entries`);
  // What removed files held is given back off the thread.
  for (const until = performance.now() + COME_BACK_MS; performance.now() < until; ) {
    if (sample().descriptors <= before.descriptors) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const after = sample();
  for (const what of ['descriptors', 'threads'] as const) {
    if (after[what] > before[what]) wrong.push(`${after[what]} ${what} after closing, ${before[what]} before`);
  }
  wrong.push(...slopes(samples));
  say(
    `end ${JSON.stringify({ ...counts, pinned, settled, live, before, after, first: samples[0], last: samples.at(-1), wrong })}`,
  );
}

/** Memory of the last third against that of the first, at rest: what leaks grows with the work done. */
function slopes(samples: readonly SoakSample[]): string[] {
  const third = Math.floor(samples.length / 3);
  const wrong: string[] = [];
  for (const [what, allowed] of [
    ['heapBytes', 12 << 20],
    ['externalBytes', 16 << 20],
    ['residentBytes', 96 << 20],
    ['threads', 0],
  ] as const) {
    const middle = (part: readonly SoakSample[]): number =>
      part.map((one) => one[what]).sort((a, b) => a - b)[Math.floor(part.length / 2)] as number;
    // The first sample is of a process that is still warming up.
    const [early, late] = [middle(samples.slice(1, 1 + third)), middle(samples.slice(-third))];
    if (late - early > allowed) wrong.push(`${what} grows from ${early} to ${late}`);
  }
  return wrong;
}

async function useFor(db: Database, until: number, part: number): Promise<void> {
  const isOver = (): boolean => performance.now() >= until;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!isOver()) await useOnce(db);
  });
  const cycles = async (): Promise<void> => {
    while (!isOver()) {
      await cycle(part);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const upkeep = async (): Promise<void> => {
    while (!isOver()) {
      await (random.chance(0.5) ? db.compact() : db.checkpoint());
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };
  await Promise.all([...clients, cycles(), upkeep()]);
}

async function useOnce(db: Database): Promise<void> {
  const key = random.below(THINGS);
  const choice = random.below(20);
  if (choice < 12) {
    const version = ++counts.writes;
    await db.write(async (tx) => {
      const store = tx.store(things);
      if (choice === 0) await store.remove(key);
      else if (choice === 1) store.clearRange({ gte: key, lt: key + 5 });
      else store.put(key, thing(key, version));
    });
  } else if (choice < 14) {
    counts.writes++;
    await db.write((tx) => tx.store(blobs).put(key % 20, new Uint8Array(random.below(100_000)).fill(key)));
  } else if (choice < 18) {
    counts.scans++;
    await db.read(async (tx) => {
      let seen = 0;
      for await (const { key: at, value } of tx.store(things).range({ gte: key })) {
        if (value.text !== thing(at, value.version).text) throw new Error(`thing ${at} is not itself`);
        if (++seen === 100) break;
      }
    });
  } else if (choice < 19) await db.read((tx) => tx.store(things).count({ gte: key }));
  else {
    // One that is given up after it has written.
    await using tx = await db.begin('write');
    tx.store(things).put(key, thing(key, -1));
  }
}

/** A database is opened, used and closed. */
async function cycle(part: number): Promise<void> {
  const db = await openDatabase(join(folder, `cycle-${part % 2}`), OPTIONS);
  await db.write((tx) => tx.store(things).put(counts.cycles % 50, thing(1, counts.cycles)));
  await db.read((tx) => tx.store(things).count());
  await db.close();
  counts.cycles++;
}

async function lookAgain(reader: Transaction, wrong: string[]): Promise<void> {
  counts.looks++;
  const store = reader.store(things);
  let i = 0;
  for await (const { key, value } of store.range()) {
    if (key !== i || value.version !== 0 || value.text !== thing(i, 0).text) {
      wrong.push(`the pinned reader sees ${JSON.stringify({ key, value })} at place ${i}`);
      return;
    }
    i++;
  }
  if (i !== THINGS || (await store.count()) !== THINGS) wrong.push(`the pinned reader sees ${i} things of ${THINGS}`);
}

function sample(): SoakSample {
  const collect = (globalThis as { gc?: () => void }).gc;
  for (let i = 0; i < 3; i++) collect?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  const threads = /^Threads:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return {
    heapBytes: heapUsed,
    externalBytes: external,
    residentBytes: rss,
    descriptors: readdirSync('/proc/self/fd').length,
    threads: Number(threads),
  };
}

await main();
