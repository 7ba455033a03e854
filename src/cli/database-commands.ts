/** Verbs about a whole database: info, stores, stats, verify. */
import type { DatabaseStats, StoreDescription } from '../index.ts';
import { describeKey } from './arguments.ts';
import { type Command, EXIT_DAMAGE, EXIT_DONE, takePositionals } from './command.ts';
import { reading } from './open.ts';
import { formatBytes, formatCount, formatDuration, formatTable, type Output } from './output.ts';
import { AT_OPTION, readAt } from './pin-commands.ts';
import { Progress } from './progress.ts';

export const infoCommand: Command = {
  name: 'info',
  summary: 'what a database is and how large',
  usage: '<folder>',
  options: {},
  examples: [['sop info ./data', 'identity, size, stores']],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    return reading(folder, async (db) => {
      const stats = db.stats();
      const stores = (await db.stores()).length;
      const { log, segments, live } = stats.sizeBytes;
      const { databaseId, number } = stats;
      if (call.out.json) {
        await call.out.line(
          JSON.stringify({ folder: db.folder, databaseId, number, stores, sizeBytes: stats.sizeBytes }),
        );
        return EXIT_DONE;
      }
      await writePairs(call.out.line.bind(call.out), [
        ['folder', db.folder],
        ['database', databaseId],
        ['transactions', formatCount(number)],
        ['stores', formatCount(stores)],
        ['size', `${formatBytes(log + segments)} (log ${formatBytes(log)}, segments ${formatBytes(segments)})`],
        ...liveData(live),
      ]);
      return EXIT_DONE;
    });
  },
};

export const storesCommand: Command = {
  name: 'stores',
  summary: 'list the stores',
  usage: '<folder>',
  options: { 'no-count': { type: 'boolean', help: 'do not count entries' }, ...AT_OPTION },
  examples: [
    ['sop stores ./data', 'names, keys, entries'],
    ['sop stores ./data --json', 'one definition a line'],
  ],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    return reading(folder, async (db) => {
      const stores: (Omit<StoreDescription, 'count'> & { count?: number })[] = [];
      for (const info of await db.stores(readAt(call))) {
        stores.push(call.options['no-count'] === true ? info : await db.describe(info.name, readAt(call)));
      }
      if (call.out.json) {
        for (const store of stores) await call.out.line(JSON.stringify(store));
        return EXIT_DONE;
      }
      if (stores.length === 0) call.out.note('there are no stores');
      const rows = stores.map((store) => [
        store.name,
        store.count === undefined ? '' : formatCount(store.count),
        describeKey(store),
        store.rideOn.join(', '),
        `${store.values}${store.raw ? ', raw' : ''}${store.unique ? '' : ', equal keys'}`,
      ]);
      const [head, ...lines] = formatTable(['store', 'entries', 'key', 'ride-on', 'values'], rows);
      if (stores.length > 0) for (const line of [call.out.bold(head as string), ...lines]) await call.out.line(line);
      return EXIT_DONE;
    });
  },
};

export const statsCommand: Command = {
  name: 'stats',
  summary: 'figures of the engine',
  usage: '<folder>',
  details: 'Of a database opened for reading by this command; counters of a running program are its own.',
  options: {},
  examples: [['sop stats ./data --json', 'for programs']],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    return reading(folder, async (db) => {
      const stats = db.stats();
      if (call.out.json) await call.out.line(JSON.stringify(stats));
      else await writeGroups(call.out, describeStats(stats));
      return EXIT_DONE;
    });
  },
};

/** Groups of names and values. What only a writer counts is left out: all of it is zero here. */
function describeStats(stats: DatabaseStats): (readonly [group: string, ...pairs: [string, string][]])[] {
  const { sizeBytes, cache, memoryTable } = stats;
  const share = (part: number, whole: number) => (whole === 0 ? '' : ` (${Math.round((part / whole) * 100)}%)`);
  return [
    [
      'database',
      ['id', stats.databaseId],
      ['newest transaction', formatCount(stats.number)],
      ['covered by the trees', formatCount(stats.rootNumber)],
      ['waiting for a decision', formatCount(stats.prepared)],
      ['pins', formatCount(stats.pins)],
    ],
    [
      'space',
      ['log', formatBytes(sizeBytes.log)],
      ['segments', `${formatBytes(sizeBytes.segments)} in ${formatCount(stats.segments)} files`],
      ['live', formatBytes(sizeBytes.live) + share(sizeBytes.live, sizeBytes.live + sizeBytes.dead)],
      ['dead', formatBytes(sizeBytes.dead) + share(sizeBytes.dead, sizeBytes.live + sizeBytes.dead)],
      ['kept by pins', formatBytes(sizeBytes.pinned)],
    ],
    [
      'memory',
      ['cache', `${formatBytes(cache.usedBytes)} of ${formatBytes(cache.limitBytes)}`],
      ['changes not merged', formatBytes(memoryTable.usedBytes + memoryTable.frozenBytes)],
    ],
  ];
}

export const verifyCommand: Command = {
  name: 'verify',
  summary: 'check everything, name what is broken',
  usage: '<folder>',
  details: 'Walks every tree, image and value. Exit code 4 where something is damaged.',
  options: {},
  examples: [['sop verify ./data', 'reads all of the database']],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    const { out } = call;
    return reading(folder, async (db) => {
      const progress = new Progress(out, 'verifying');
      const report = await db
        .verify({
          signal: call.signal,
          onProgress: (at) => progress.show(at.entriesChecked, at.entriesTotal, at.entriesChecked, 'entries'),
        })
        .finally(() => progress.end());
      out.verdict = report.ok ? EXIT_DONE : EXIT_DAMAGE;
      if (out.json) {
        await out.line(JSON.stringify(report));
        return report.ok ? EXIT_DONE : EXIT_DAMAGE;
      }
      for (const problem of report.problems) {
        const place =
          problem.file === undefined
            ? ''
            : ` (${problem.file}${problem.offset === undefined ? '' : ` at ${problem.offset}`})`;
        await out.line(`${out.bold(problem.invariant)}: ${problem.message}${place}`);
      }
      const { stores, entries, images, values, bytesChecked } = report;
      const what = `${formatCount(entries)} entries in ${formatCount(stores)} stores, ${formatCount(images)} images, ${formatCount(values)} values`;
      const verdict = report.ok ? 'sound' : `${report.problems.length} problems`;
      await out.line(
        `${verdict}: ${what}, ${formatBytes(bytesChecked)} checked in ${formatDuration(progress.elapsedMs)}`,
      );
      return report.ok ? EXIT_DONE : EXIT_DAMAGE;
    });
  },
};

async function writeGroups(out: Output, groups: ReturnType<typeof describeStats>): Promise<void> {
  for (const [group, ...pairs] of groups) {
    await out.line(out.bold(group));
    for (const [name, value] of pairs) await out.line(`  ${name.padEnd(24)}${value}`);
  }
}

export const metricsCommand: Command = {
  name: 'metrics',
  summary: 'the same as Prometheus reads it',
  usage: '<folder>',
  details:
    'Of a database opened for reading by this command, for a textfile collector; a running program tells its own.',
  options: {},
  examples: [['sop metrics ./data > sop.prom', 'figures of space, as a file']],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    return reading(folder, async (db) => {
      for (const line of db.metrics().trimEnd().split('\n')) await call.out.line(line);
      return EXIT_DONE;
    });
  },
};

/** How much is live is counted by the writer alone: an opening for reading does not know. */
function liveData(bytes: number): [string, string][] {
  return bytes > 0 ? [['live data', formatBytes(bytes)]] : [];
}

async function writePairs(line: (text: string) => Promise<void>, pairs: readonly [string, string][]): Promise<void> {
  const width = Math.max(...pairs.map(([name]) => name.length));
  for (const [name, value] of pairs) await line(`${name.padEnd(width)}  ${value}`);
}
