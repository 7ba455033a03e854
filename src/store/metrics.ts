/**
 * Figures of a database as Prometheus clients take them. Names and labels are a contract: what there is keeps its name and its
 * meaning. Times are seconds and sizes bytes, as is the custom there.
 */
import type { DatabaseStats } from './database-stats.ts';

/** Labels by their names, put beside every metric. */
export type MetricLabels = Readonly<Record<string, string>>;

/** One sample of a metric. */
export interface MetricValue {
  /** `sop_...`; samples of one metric have one name, and follow one another. */
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly value: number;
  readonly labels: MetricLabels;
}

interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly samples: (stats: DatabaseStats) => number | readonly (readonly [label: string, value: number])[];
  /** The label by which samples differ. */
  readonly label?: string;
}

const seconds = (ms: number): number => ms / 1000;

const METRICS: readonly Metric[] = [
  counter('commits_total', 'Transactions committed that changed something.', (s) => s.commits),
  counter('commit_bytes_total', 'Bytes of committed changes.', (s) => s.commit.bytes),
  counter(
    'batches_total',
    'Batches made durable, by transactions in them.',
    (s) => Object.entries(s.commit.batchSizes),
    'transactions',
  ),
  counter(
    'refused_commits_total',
    'Commits refused, by reason.',
    ({ refusals: { conflict, tooOld, refused } }) => [
      ['conflict', conflict],
      ['too_old', tooOld],
      ['other', refused],
    ],
    'reason',
  ),
  counter('retries_total', 'Runs of db.write repeated after a conflict.', (s) => s.retries),
  counter('transactions_begun_total', 'Transactions begun.', (s) => s.begun),
  gauge('open_transactions', 'Transactions that are open.', (s) => s.openTransactions),
  gauge('prepared_transactions', 'Transactions that wait for their decision.', (s) => s.prepared),
  gauge('oldest_snapshot_age_seconds', 'Since when the oldest snapshot in use is out of date.', (s) =>
    seconds(s.oldestSnapshotMs),
  ),
  gauge('last_transaction_number', 'Number of the newest durable transaction.', (s) => s.number),
  gauge('root_transaction_number', 'Number of the newest transaction that the trees hold.', (s) => s.rootNumber),
  counter('spills_total', 'Changes of large transactions written to segments.', (s) => s.spills.count),
  counter('spilled_bytes_total', 'Bytes of those changes.', (s) => s.spills.bytes),
  counter('log_appends_total', 'Batches appended to the log, each with a sync.', (s) => s.log.appends),
  counter('log_written_bytes_total', 'Bytes appended to the log.', (s) => s.log.bytesWritten),
  counter('log_sync_seconds_total', 'Time that appends took, syncs included.', (s) => seconds(s.log.syncMs)),
  gauge('log_last_sync_seconds', 'Time that the last append took.', (s) => seconds(s.log.lastSyncMs)),
  gauge('log_longest_sync_seconds', 'Time that the longest append took.', (s) => seconds(s.log.longestSyncMs)),
  counter('slow_commits_total', 'Commits and syncs above slowMs.', (s) => s.log.slow),
  counter('log_recoveries_total', 'Times the log was opened anew after a failed append.', (s) => s.log.recoveries),
  gauge('log_unmerged_bytes', 'Bytes of the log that no checkpoint has merged.', (s) => s.log.bytesSinceRoot),
  gauge('log_epoch', 'Epoch of the log that is being written.', (s) => s.epoch),
  gauge(
    'size_bytes',
    'Bytes of files, by part.',
    ({ sizeBytes: { log, segments } }) => [
      ['log', log],
      ['segments', segments],
    ],
    'part',
  ),
  gauge('live_bytes', 'Bytes of segments that the trees name.', (s) => s.sizeBytes.live),
  gauge('dead_bytes', 'Bytes of segments that nothing needs.', (s) => s.sizeBytes.dead),
  gauge('pinned_bytes', 'Bytes of segments that pins alone keep.', (s) => s.sizeBytes.pinned),
  gauge('compactable_bytes', 'Bytes that compaction would give back.', (s) => s.sizeBytes.compactable),
  gauge('segments', 'Segment files.', (s) => s.segments),
  gauge('pins', 'Pins there are.', (s) => s.pins),
  gauge('cache_limit_bytes', 'Bytes that cached images may take.', (s) => s.cache.limitBytes),
  gauge('cache_used_bytes', 'Bytes that cached images take.', (s) => s.cache.usedBytes),
  counter('cache_hits_total', 'Images found in memory.', (s) => s.cache.hits),
  counter('cache_misses_total', 'Images read from segments.', (s) => s.cache.misses),
  counter('row_cache_hits_total', 'Reads answered from decoded rows.', (s) => s.rows.hits),
  counter('row_cache_misses_total', 'Reads that looked for a decoded row in vain.', (s) => s.rows.misses),
  gauge(
    'memory_table_limit_bytes',
    'Bytes of changes in memory from which on a checkpoint starts.',
    (s) => s.memoryTable.limitBytes,
  ),
  gauge('memory_table_used_bytes', 'Bytes of changes in the active memory table.', (s) => s.memoryTable.usedBytes),
  gauge('memory_table_frozen_bytes', 'Bytes of changes being merged.', (s) => s.memoryTable.frozenBytes),
  gauge('memory_table_pressure_ratio', 'How full the active memory table is, 0 to 1.', (s) => s.memoryTable.pressure),
  counter('checkpoints_total', 'Checkpoints done.', (s) => s.checkpoints),
  counter('checkpoints_failed_total', 'Checkpoints failed or given up.', (s) => s.checkpoint.failed),
  counter('checkpoint_seconds_total', 'Time that checkpoints took.', (s) => seconds(s.checkpoint.totalMs)),
  gauge('checkpoint_last_seconds', 'Time that the last checkpoint took.', (s) => seconds(s.checkpoint.lastMs)),
  gauge('checkpoint_longest_seconds', 'Time that the longest checkpoint took.', (s) => seconds(s.checkpoint.longestMs)),
  gauge('checkpoint_running_seconds', 'Time that the running checkpoint has taken; 0 while none is.', (s) =>
    seconds(s.checkpoint.runningMs ?? 0),
  ),
  gauge('checkpoint_longest_slice_seconds', 'Longest time that merging held the thread.', (s) =>
    seconds(s.checkpoint.longestSliceMs),
  ),
  counter('checkpoint_written_bytes_total', 'Bytes that checkpoints wrote.', (s) => s.checkpoint.bytesWritten),
  counter('checkpoint_entries_total', 'Changes merged into the trees.', (s) => s.checkpoint.entriesMerged),
  counter('compactions_total', 'Checkpoints that rewrote segments.', (s) => s.compaction.count),
  counter('compaction_rewritten_bytes_total', 'Live bytes copied by compaction.', (s) => s.compaction.bytesRewritten),
  counter('reclaimed_segments_total', 'Segment files removed.', (s) => s.compaction.segmentsReclaimed),
  counter('reclaimed_bytes_total', 'Bytes of segment files removed.', (s) => s.compaction.bytesReclaimed),
  counter('backups_total', 'Backups completed.', (s) => s.backups.count),
  gauge('backups_running', 'Backups under way.', (s) => s.backups.running),
  counter('backup_copied_bytes_total', 'Bytes copied by completed backups.', (s) => s.backups.bytesCopied),
  counter(
    'index_builds_total',
    'Index builds, by what became of them.',
    ({ indexBuilds: { started, ready, failed } }) => [
      ['started', started],
      ['ready', ready],
      ['failed', failed],
    ],
    'state',
  ),
  counter('index_build_entries_total', 'Entries worked through by index builds.', (s) => s.indexBuilds.entries),
];

function counter(name: string, help: string, samples: Metric['samples'], label?: string): Metric {
  return { name: `sop_${name}`, type: 'counter', help, samples, ...(label === undefined ? {} : { label }) };
}

function gauge(name: string, help: string, samples: Metric['samples'], label?: string): Metric {
  return { ...counter(name, help, samples, label), type: 'gauge' };
}

export function metricValues(stats: DatabaseStats, labels: MetricLabels): MetricValue[] {
  return METRICS.flatMap(({ name, type, help, samples, label = '' }) => {
    const found = samples(stats);
    if (typeof found === 'number') return [{ name, type, help, value: found, labels }];
    return found.map(([which, value]) => ({ name, type, help, value, labels: { ...labels, [label]: which } }));
  });
}

/** Text exposition format 0.0.4. */
export function metricsText(values: readonly MetricValue[]): string {
  const lines: string[] = [];
  let last = '';
  for (const { name, type, help, value, labels } of values) {
    if (name !== last) lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    last = name;
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    lines.push(`${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${numberText(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
