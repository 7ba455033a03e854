/**
 * A program that does one big thing under a cache limit and says how much memory it ever held:
 * `node memory-worker.ts write|scan|salvage <folder> <records> <cacheBytes>`.
 */
import { readFileSync, rmSync } from 'node:fs';
import { Database, defineStore, openDatabase } from './sop.ts';
import { say } from './speaking.ts';

const [, , what = '', folder = '', recordsText = '0', cacheText = '0'] = process.argv;
const records = Number(recordsText);
const cacheBytes = Number(cacheText);
const all = defineStore<number, string>('records');

/** Resident bytes at their highest. */
function peakBytes(): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line?.[1] ?? 0) * 1024;
}

/** Some 120 bytes, the shape of a small record. */
function recordText(id: number): string {
  return `record ${id} `.padEnd(110, 'all work and no play ');
}

async function write(db: Database): Promise<void> {
  await db.write((tx) => {
    const store = tx.store(all);
    // An order that jumps about, so that runs overlap.
    for (let i = 0; i < records; i++) {
      const id = (i * 1_000_003) % records;
      store.put(id, recordText(id));
    }
  });
}

async function scan(db: Database): Promise<void> {
  let seen = 0;
  await db.read(async (tx) => {
    for await (const { key, value } of tx.store(all).range()) {
      if (key !== seen || value !== recordText(key)) throw new Error(`at place ${seen} there is ${key}: ${value}`);
      seen++;
    }
  });
  if (seen !== records) throw new Error(`${seen} of ${records} records`);
}

async function salvage(): Promise<void> {
  const rescued = `${folder}-rescued`;
  const { lost } = await Database.salvage(folder, rescued);
  rmSync(rescued, { recursive: true });
  if (lost.length > 0) throw new Error(`lost: ${JSON.stringify(lost)}`);
}

const opening = performance.now();
const db = what === 'salvage' ? undefined : await openDatabase(folder, { cacheBytes });
const began = performance.now();
const openMs = began - opening;
if (db === undefined) await salvage();
else if (what === 'write') await write(db);
else if (what === 'scan') await scan(db);
const ms = performance.now() - began;
await db?.close();
say(JSON.stringify({ what, openMs, peakBytes: peakBytes(), seconds: ms / 1000, cacheBytes }));
process.exit(0);
