/**
 * A backup of the running database: a root that covers everything committed before the call, and all segments that it and
 * the pins it knows of name, copied while everything goes on.
 *
 *  1. What is copied is held from reclaim in memory alone: a crash leaves nothing held.
 *  2. The log is not copied: the backup's log begins at the root. So the backup is the state as of the root's number.
 *  3. Nothing is committed to the target after the database was closed, since nothing is held then any more.
 */
import { equalBytes } from '../base/bytes.ts';
import { AbortedError, IoError, ReadOnlyError, SnapshotTooOldError } from '../base/errors.ts';
import type { Env } from '../env/env.ts';
import { BackupTarget, type SegmentSource } from '../storage/backup-target.ts';
import type { DatabaseFolder } from '../storage/database-folder.ts';
import { pinKey } from '../storage/pin-row.ts';
import type { KeptRoot, PinnedRoots } from '../storage/pinned-roots.ts';
import { encodeRoot } from '../storage/root.ts';
import { segmentFileName, type Segments } from '../storage/segments.ts';
import { View } from '../storage/view.ts';
import type { BackupReport, EngineBackupOptions } from './engine-api.ts';
import { acquireRootOfNow } from './pins.ts';

export interface BackupHost {
  readonly env: Env;
  readonly readOnly: boolean;
  readonly state: Parameters<typeof acquireRootOfNow>[0]['state'];
  readonly segments: Segments;
  readonly pinnedRoots: PinnedRoots;
  checkpoint(): Promise<void>;
  reclaim(): void;
  mustBeUsable(): void;
}

export async function backUp(
  host: BackupHost,
  folder: DatabaseFolder,
  options: EngineBackupOptions,
): Promise<BackupReport> {
  mustGoOn(host, options);
  const target = new BackupTarget(options.env ?? host.env, options.folder, folder.mustReadIdentity());
  target.open();
  try {
    const held = await holdRootOfNow(host);
    try {
      // A feature may have been named since.
      return await copyAll(host, held, target.withIdentity(folder.mustReadIdentity()), options);
    } catch (error) {
      throw explained(host, error);
    } finally {
      if (host.pinnedRoots.release(held.kept.view)) host.reclaim();
    }
  } finally {
    target.close();
  }
}

async function copyAll(
  host: BackupHost,
  held: Held,
  target: BackupTarget,
  options: EngineBackupOptions,
): Promise<BackupReport> {
  const sources = sourcesOf(host, held);
  const bytesTotal = sources.reduce((sum, { length }) => sum + length, 0);
  let bytesCopied = 0;
  let bytesKept = 0;
  let filesDone = 0;
  const tell = (): void => {
    mustGoOn(host, options);
    const bytesDone = bytesCopied + bytesKept;
    options.onProgress?.({ filesDone, filesTotal: sources.length, bytesDone, bytesTotal });
  };
  for (const source of sources) {
    if (target.has(source)) bytesKept += source.length;
    else {
      await target.copy(source, (bytes) => {
        bytesCopied += bytes;
        tell();
      });
    }
    filesDone++;
    tell();
  }
  const { record } = held.kept.view.root;
  await target.finish(encodeRoot(record, host.segments), new Set(sources.map(({ name }) => name)));
  return { number: record.covered, files: sources.length, bytesCopied, bytesKept };
}

function sourcesOf({ env, segments, pinnedRoots }: BackupHost, { kept, growing }: Held): SegmentSource[] {
  const sources = [...pinnedRoots.segmentsOf(kept)].map(([index, { totalBytes }]) => {
    const path = segments.path(index);
    const isGrowing = growing.has(index);
    const name = segmentFileName(segments.writerOf(index), segments.numberOf(index));
    const length = isGrowing ? (env.files.status(path)?.sizeBytes ?? 0) : totalBytes;
    return { env, path, name, length, isGrowing };
  });
  return sources.sort((a, b) => (a.name < b.name ? -1 : 1));
}

interface Held {
  readonly kept: KeptRoot;
  /**
   * Where prepared transactions have what no tree names yet; all that the root's need was synced before they were prepared.
   * Those decided since are among them until a newer root is adopted.
   */
  readonly growing: ReadonlySet<number>;
}

/** A root of now, held with the pins in it. `release` its view. */
async function holdRootOfNow(host: BackupHost): Promise<Held> {
  const { state, pinnedRoots } = host;
  for (;;) {
    const view = host.readOnly ? acquireMergedView(host) : await acquireRootOfNow(host);
    try {
      const pins = pinsStillThere(pinnedRoots, view);
      // In the same turn: nothing is removed between.
      if (pins !== undefined && state.view.root === view.root) {
        const growing = state.prepared.segments(host.segments);
        return { kept: pinnedRoots.hold(new View(view.root, []), pins, growing), growing };
      }
    } finally {
      if (state.views.release(view)) {
        state.viewReleased(view);
        host.reclaim();
      }
    }
  }
}

/** The pins that the root knows of; undefined where one was given up since: what it kept may be gone. */
function pinsStillThere(pinnedRoots: PinnedRoots, view: View): KeptRoot[] | undefined {
  const pins: KeptRoot[] = [];
  for (const { name, cell } of pinnedRoots.rowsOf(view)) {
    const kept = pinnedRoots.find(name, pinKey(name));
    if (kept === undefined || !equalBytes(kept.cell, cell)) return undefined;
    pins.push(kept);
  }
  return pins;
}

/** For who can not make a checkpoint: the newest root, where it holds everything. */
function acquireMergedView({ state }: BackupHost): View {
  if (state.view.tables.every((table) => table.isEmpty)) return state.views.acquire();
  throw new ReadOnlyError(
    'changes that no checkpoint has merged can not be backed up by who only reads; open the database for writing',
  );
}

function mustGoOn(host: BackupHost, { signal }: EngineBackupOptions): void {
  host.mustBeUsable();
  if (signal?.aborted === true)
    throw new AbortedError('the backup was aborted by its signal', { cause: signal.reason });
}

/** A reader holds nothing: a writer elsewhere may remove what is being copied. */
function explained(host: BackupHost, error: unknown): unknown {
  if (!host.readOnly || !(error instanceof IoError) || error.details.errno !== 'ENOENT') return error;
  return new SnapshotTooOldError('what was to be backed up was reclaimed meanwhile; open anew', { cause: error });
}
