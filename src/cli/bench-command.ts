/** `sop bench`: what this disk and this machine do, measured in some seconds with a database of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { nodeEnv } from '../env/node-env.ts';
import { Database, defineStore } from '../index.ts';
import { type Command, EXIT_DONE, EXIT_INTERRUPTED, type Invocation, numberOption, UsageError } from './command.ts';
import { formatCount, formatDuration, formatTable } from './output.ts';
import { Progress } from './progress.ts';

const VALUE_BYTES = 4096;
const ENTRIES = 50_000;
const MANY_CLIENTS = 64;

interface Measure {
  readonly what: string;
  /** What the rate counts: 'syncs', 'commits'. */
  readonly unit: string;
  readonly perSecond: number;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

const blobs = defineStore<number, Uint8Array>('blobs', { raw: true });
const rows = defineStore<number, { name: string; size: number }>('rows');

export const benchCommand: Command = {
  name: 'bench',
  summary: 'a quick measure of this disk and machine',
  usage: '[<where>]',
  details:
    'Makes a temporary database in the folder (here, if none is named), measures about ten seconds, and removes it. Every ' +
    'commit is on the disk before it counts. Reads are of data that is in memory: they measure the engine, not the disk.',
  options: { seconds: { type: 'string', value: 'count', help: 'measure so long in all (10)' } },
  examples: [
    ['sop bench', 'the disk of this folder'],
    ['sop bench /mnt/nvme --seconds 30 --json', 'another disk, longer, for programs'],
  ],
  async run(call) {
    const [where = '.', more] = call.positionals;
    if (more !== undefined) throw new UsageError(`'${more}' is one argument too many`);
    const seconds = numberOption(call.options, 'seconds') ?? 10;
    if (seconds < 1) throw new UsageError('--seconds takes a number from 1');
    const folder = mkdtempSync(join(where, 'sop-bench-'));
    try {
      const measures = await measureAll(call, folder, seconds * 1000);
      await tell(call, measures);
      return call.signal.aborted ? EXIT_INTERRUPTED : EXIT_DONE;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function measureAll(call: Invocation, folder: string, totalMs: number): Promise<Measure[]> {
  const progress = new Progress(call.out, 'measuring');
  const measures: Measure[] = [];
  const step = async (what: string, unit: string, part: number, work: (until: Until) => Promise<Sample> | Sample) => {
    if (call.signal.aborted) return;
    progress.say(what);
    const began = performance.now();
    const isOver = () => performance.now() - began >= totalMs * part || call.signal.aborted;
    const { count, latencies } = await work({ isOver });
    const elapsed = Math.max(0.001, (performance.now() - began) / 1000);
    const [p50Ms, p99Ms] = [percentile(latencies, 0.5), percentile(latencies, 0.99)];
    measures.push({ what, unit, perSecond: count / elapsed, p50Ms, p99Ms });
  };
  try {
    await step('write 4 KiB and sync', 'syncs', 0.15, (until) => rawSyncs(join(folder, 'raw'), until));
    await using db = await Database.open(join(folder, 'db'));
    await step('commit 4 KiB, 1 client', 'commits', 0.2, (until) => commits(db, 1, until));
    await step(`commit 4 KiB, ${MANY_CLIENTS} clients`, 'commits', 0.25, (until) => commits(db, MANY_CLIENTS, until));
    progress.say('loading');
    await load(db, call.signal);
    await step('get at random', 'gets', 0.15, (until) => gets(db, until));
    await step('scan', 'entries', 0.15, (until) => scans(db, until));
  } finally {
    progress.end();
  }
  return measures;
}

interface Until {
  isOver(): boolean;
}

interface Sample {
  readonly count: number;
  readonly latencies: number[];
}

/** The disk alone: what no commit can be faster than. */
function rawSyncs(path: string, until: Until): Sample {
  const { files } = nodeEnv();
  const file = files.open(path, { mode: 'create' });
  const block = files.allocate(VALUE_BYTES);
  const latencies: number[] = [];
  try {
    for (let at = 0; !until.isOver(); at = (at + VALUE_BYTES) % (64 * 1024 * 1024)) {
      const began = performance.now();
      file.writeSync(block, at);
      file.syncSync();
      latencies.push(performance.now() - began);
    }
  } finally {
    file.close();
  }
  return { count: latencies.length, latencies };
}

let nextKey = 0;

async function commits(db: Database, clients: number, until: Until): Promise<Sample> {
  const value = new Uint8Array(VALUE_BYTES).fill(7);
  const latencies: number[] = [];
  const client = async () => {
    while (!until.isOver()) {
      const key = nextKey++ % 10_000;
      const began = performance.now();
      await db.write((tx) => tx.store(blobs).put(key, value));
      latencies.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { count: latencies.length, latencies };
}

async function load(db: Database, signal: AbortSignal): Promise<void> {
  for (let from = 0; from < ENTRIES && !signal.aborted; from += 1000) {
    await db.write((tx) => {
      for (let i = from; i < from + 1000; i++) tx.store(rows).put(i, { name: `entry number ${i}`, size: i });
    });
  }
  await db.checkpoint();
}

async function gets(db: Database, until: Until): Promise<Sample> {
  let count = 0;
  const latencies: number[] = [];
  while (!until.isOver()) {
    await db.read(async (tx) => {
      const store = tx.store(rows);
      for (let i = 0; i < 1000; i++, count++) {
        const key = Math.floor(Math.random() * ENTRIES);
        // Asking the clock costs as much as a get: it is asked now and then.
        const began = i % 10 === 0 ? performance.now() : 0;
        await store.get(key);
        if (began > 0) latencies.push(performance.now() - began);
      }
    });
  }
  return { count, latencies };
}

async function scans(db: Database, until: Until): Promise<Sample> {
  let count = 0;
  while (!until.isOver()) {
    await db.read(async (tx) => {
      for await (const page of tx.store(rows).range().pages(1000)) {
        count += page.length;
        if (until.isOver()) return;
      }
    });
  }
  return { count, latencies: [] };
}

function percentile(values: number[], part: number): number | undefined {
  values.sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(values.length * part))];
}

async function tell(call: Invocation, measures: readonly Measure[]): Promise<void> {
  const { out } = call;
  if (out.json) {
    for (const measure of measures) await out.line(JSON.stringify(measure));
    return;
  }
  const duration = (ms: number | undefined) => (ms === undefined ? '' : formatDuration(ms));
  const table = formatTable(
    ['measure', 'a second', '', 'p50', 'p99'],
    measures.map(({ what, unit, perSecond, p50Ms, p99Ms }) => [
      what,
      formatCount(perSecond),
      unit,
      duration(p50Ms),
      duration(p99Ms),
    ]),
  );
  for (const [i, line] of table.entries()) await out.line(i === 0 ? out.bold(line) : line);
}
