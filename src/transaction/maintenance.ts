/**
 * Background work of one database: checkpoints, compaction, reclaim, the idle note of the log. One cycle at a time:
 *
 *   freeze (a new epoch, a FREEZE record, a new active table) -> merge into new trees -> ROOT record -> old log files go ->
 *   RECLAIM record -> dead segments go.
 *
 * Invariants:
 *  1. The append right is used only for the three small records; merging blocks nobody for longer than a slice.
 *  2. A cycle that was overtaken by a recovery of the log adopts nothing.
 *  3. A cycle that fails leaves the database as it was before it, with one frozen table more: what it wrote is given back. The cycle
 *     alone writes images and moves values, to writers of its own, and nothing names that before a ROOT record does. So it may
 *     go unless such a record was given to the log: then only where the log, read again, is known not to have it.
 *  4. Damage in a segment that compaction would empty keeps nothing else from going on: the segment stays as it is.
 */
import { ClosedError, CorruptionError, DiskFullError, type SopError } from '../base/errors.ts';
import type { Combiner } from '../commit/combiner.ts';
import type { Env, Timer } from '../env/env.ts';
import { LOG_ALIGNMENT } from '../base/limits.ts';
import { KIND_FREEZE, KIND_RECLAIM, KIND_ROOT } from '../log/batch.ts';
import type { CommitLog } from '../log/commit-log.ts';
import type { LogOpening } from '../log/log-recovery.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { Checkpoint, type CheckpointResult } from '../storage/checkpoint.ts';
import type { DatabaseState } from '../storage/database-state.ts';
import { loadSpace } from '../storage/load-space.ts';
import { namedByLog } from '../storage/named-by-log.ts';
import { Pacer } from '../storage/pacer.ts';
import { encodeReclaim } from '../storage/reclaim.ts';
import type { PinnedRoots } from '../storage/pinned-roots.ts';
import { findRelocations, NO_RELOCATIONS } from '../storage/relocation.ts';
import { encodeRoot, type RootRecord } from '../storage/root.ts';
import { parseSegmentFileName, type Segments } from '../storage/segments.ts';
import { SEGMENT_IMAGES, SEGMENT_VALUES, type SegmentFactory, SegmentWriter } from '../storage/segment-writer.ts';
import type { SnapshotReader } from '../storage/snapshot-reader.ts';
import type { VictimChoice } from '../storage/space.ts';
import type { Figures } from './figures.ts';
import { ValueWriters } from './value-writers.ts';
import { GENERATION_BYTES, NO_CHOICE, Victims } from './victims.ts';

/** Quiet time after which the log's durable number is written once more, and after which a checkpoint may begin. */
const IDLE_NOTE_MS = 100;
const IDLE_CHECKPOINT_MS = 2000;
const IDLE_CHECKPOINT_BYTES = 1024 * 1024;
const RETRY_MS = 1000;
/** Where merging fails again and again, the active table fills up and stays: each frozen one is memory. */
const MAX_FROZEN = 3;
/** Runs in the active table from which on a checkpoint begins: every one is another layer that reads look through. */
const MANY_RUNS = 16;

export interface MaintenanceHost {
  readonly env: Env;
  readonly state: DatabaseState;
  readonly log: CommitLog;
  readonly segments: Segments;
  readonly cache: ImageCache;
  readonly reader: SnapshotReader;
  readonly factory: SegmentFactory;
  readonly writer: number;
  readonly pinnedRoots: PinnedRoots;
  readonly figures: Figures;
  /** Grows with every recovery of the log. */
  readonly generation: number;
  nextCounter(): number;
  /** Segments that open transactions have written values to: their commits will refer to them. */
  segmentsInUse(): Set<number>;
  /** Whether a transaction that has not ended wrote values there. */
  isWritingValuesTo(writer: SegmentWriter): boolean;
  /** See `namedByLog`. */
  readLog(): Promise<LogOpening>;
  backgroundError(error: unknown): void;
}

/** Thrown inside a cycle that must not go on. */
class GivenUp extends Error {}

const NO_VICTIMS: ReadonlySet<number> = new Set();

export class Maintenance {
  readonly pacer: Pacer;
  readonly #host: MaintenanceHost;
  readonly #combiner: Combiner;
  #images: SegmentWriter;
  /** Values that cycles move. */
  #moved: SegmentWriter;
  readonly #values: ValueWriters;
  #cycle: Promise<void> | undefined;
  #wanted = false;
  /** Callers that wait for a cycle of their own: they go before another one that was merely requested. */
  #waiting = 0;
  #endPause = (): void => {};
  /** The next active table must have room for as many bytes. */
  #wantedRoom = 0;
  /** The cycle under way leaves changes in the active table. */
  #isPartial = false;
  /** The last freeze: what the log had taken until then is covered by the root made of it. */
  #frozenAt = { covered: 0, logBytes: 0 };
  /** Segments that the cycle under way empties. */
  victims: ReadonlySet<number> = NO_VICTIMS;
  readonly #choice: Victims;
  #stopping = false;
  #spaceLoaded = false;
  #swept = false;
  #sweptEarly = false;
  #reclaiming = false;
  #lastCommitMs = 0;
  #noted = true;
  #idleTimer: Timer | undefined;

  constructor(host: MaintenanceHost, combiner: Combiner) {
    this.#host = host;
    this.#combiner = combiner;
    this.#choice = new Victims(host);
    this.pacer = new Pacer(host.env, () => host.state.active.usedBytes / host.state.active.capacityBytes);
    this.#images = new SegmentWriter(host.factory, SEGMENT_IMAGES);
    this.#moved = new SegmentWriter(host.factory, SEGMENT_VALUES);
    this.#values = new ValueWriters(host);
  }

  /** Where transactions write large values. */
  get values(): SegmentWriter {
    return this.#values.current;
  }

  /** A transaction that may have written values has ended. */
  noteEnd(): void {
    this.#values.giveBack();
  }

  /** Commits come faster than the running merge can afford. */
  get isBehind(): boolean {
    return this.#cycle !== undefined && this.pacer.isBehind;
  }

  /** A commit was made: arms the idle timer. */
  noteCommit(nowMs: number): void {
    this.#lastCommitMs = nowMs;
    this.#noted = false;
    if (this.#idleTimer === undefined && !this.#stopping) this.#armIdle(IDLE_NOTE_MS);
  }

  /** A big transaction's runs were adopted. */
  noteRuns(): void {
    if (this.#cycle === undefined && this.#host.state.active.allRuns().length >= MANY_RUNS) this.request();
  }

  /** Starts a cycle, or another one after that which runs; the next active table is to have room for `byteLength`. */
  request(byteLength = 0): void {
    this.#wanted = true;
    this.#wantedRoom = Math.max(this.#wantedRoom, byteLength);
    if (this.#cycle !== undefined || this.#stopping) return;
    this.#cycle = this.#run().finally(() => {
      this.#cycle = undefined;
      if (this.#wanted && !this.#stopping && this.#waiting === 0) this.request();
    });
  }

  /** Everything committed before the call is in the trees when this answers. */
  async checkpoint(): Promise<void> {
    await this.#checkpointAlone();
    try {
      if (this.#choice.areCheap()) await this.#wholeCycle(false);
    } catch (error) {
      // What was asked for is done.
      if (!this.#stopping) this.#host.backgroundError(error);
    }
  }

  async #checkpointAlone(): Promise<void> {
    await this.#wholeCycle(false);
  }

  /** Cycles until nothing is worth rewriting. */
  async compact(): Promise<void> {
    await this.#checkpointAlone();
    for (let round = 0; round < 1000 && !this.#stopping; round++) {
      if (!(await this.#wholeCycle(true))) break;
    }
    // One more, so that what the last round counted is written down and its segments are free.
    await this.#wholeCycle(false);
  }

  /** A cycle that somebody waits for: begun anew where a recovery of the log overtook it. */
  async #wholeCycle(eager: boolean): Promise<boolean> {
    for (;;) {
      try {
        const goesOn = await this.#exclusively(() => {
          this.#wanted = false;
          return this.#oneCycle(eager);
        });
        if (!this.#isPartial) return goesOn;
      } catch (error) {
        if (!(error instanceof GivenUp)) throw error;
        if (this.#stopping) throw new ClosedError('the database was closed before the checkpoint was through');
      }
    }
  }

  /** Removes files that nobody reads any more. */
  reclaim(): void {
    if (this.#reclaiming || this.#stopping || this.#host.state.reclaims.isEmpty) return;
    this.#reclaiming = true;
    this.#reclaim()
      .catch((error: unknown) => this.#host.backgroundError(error))
      .finally(() => {
        this.#reclaiming = false;
      });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#idleTimer?.cancel();
    this.#endPause();
    await this.#cycle?.catch(() => {});
    await this.#images.close();
    await this.#moved.close();
    await this.#values.close();
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++;
    this.#endPause();
    while (this.#cycle !== undefined) await this.#cycle.catch(() => {});
    this.#waiting--;
    const done = work();
    this.#cycle = done.then(
      () => {},
      () => {},
    );
    try {
      return await done;
    } finally {
      this.#cycle = undefined;
      if (this.#wanted) this.request();
    }
  }

  async #run(): Promise<void> {
    while (this.#wanted && !this.#stopping && this.#waiting === 0) {
      this.#wanted = false;
      const { damaged } = this.#choice;
      try {
        if (await this.#oneCycle(false)) this.#wanted = true;
      } catch (error) {
        if (this.#stopping) return;
        if (error instanceof GivenUp) {
          this.#wanted = true;
          continue;
        }
        if (this.#choice.damaged > damaged) {
          // The next try leaves out what it was about, and may succeed.
          this.#host.backgroundError(error);
          this.#wanted = true;
          continue;
        }
        this.#combiner.refuseWaiting(error);
        this.#host.backgroundError(error);
        await this.#pause();
      }
    }
  }

  /** Before the next try: somebody may be waiting for that already, and for nothing else. */
  async #pause(): Promise<void> {
    if (this.#waiting > 0 || this.#stopping) return;
    await new Promise<void>((resolve) => {
      const timer = this.#host.env.timers.after(RETRY_MS, resolve, true);
      this.#endPause = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** True where compaction has more to do: it rewrote something, and that made the database smaller. */
  async #oneCycle(eager: boolean): Promise<boolean> {
    const host = this.#host;
    const generation = host.generation;
    const mustStop = (): void => {
      if (this.#stopping || host.generation !== generation) throw new GivenUp();
    };
    try {
      // It takes room that may be missing.
      await this.#values.givenBack();
      this.loadSpace();
      const before = host.state.space.totalBytes;
      const chosen = this.#chooseVictims(eager);
      this.victims = new Set(chosen.victims);
      this.#endVictims(chosen.victims);
      const covered = await this.#freeze(chosen.victims.length > 0);
      if (covered === undefined) return false;
      const { victims, liveBytes } = this.#isPartial ? NO_CHOICE : chosen;
      if (this.#isPartial) this.victims = NO_VICTIMS;
      // Images of one checkpoint die together with the next that touches as much: then nothing has to be copied to free them.
      if (this.#images.currentOffset >= GENERATION_BYTES) this.#images.finish();
      host.figures.checkpointBegins(covered, host.env.clock.monotonicMs());
      const ms = await this.#makeRoot(covered, victims, mustStop);
      if (victims.length > 0) host.figures.noteCompaction(victims.length, liveBytes, ms);
      const isSmaller = host.state.space.totalBytes < before;
      // There may be something to compact now; not again where that gained nothing.
      const mayGain = victims.length === 0 || isSmaller;
      if (mayGain && this.#idleTimer === undefined && !this.#stopping) this.#armIdle(IDLE_NOTE_MS);
      return victims.length > 0 && isSmaller;
    } catch (error) {
      host.figures.checkpointFails(host.state.active.baseNumber, host.env.clock.monotonicMs());
      if (error instanceof CorruptionError) this.#choice.noteDamaged(this.victims);
      await this.#startOver();
      // Where that makes room it is worth another try.
      if (error instanceof DiskFullError && (await this.#sweepEarly())) throw new GivenUp();
      throw error;
    } finally {
      this.victims = NO_VICTIMS;
    }
  }

  #chooseVictims(eager: boolean): VictimChoice {
    const { state } = this.#host;
    // Changes that this cycle does not merge may refer to values in any segment.
    const isPartial = this.#swept && state.frozen.length >= MAX_FROZEN && !state.active.isEmpty;
    return isPartial ? NO_CHOICE : this.#choice.choose(eager);
  }

  /**
   * Answers the number the coming root covers; undefined where there is nothing to do. `#isPartial` says afterwards whether
   * there are changes that it leaves in the active table.
   */
  async #freeze(hasVictims: boolean): Promise<number | undefined> {
    const host = this.#host;
    const { state } = host;
    const room = this.#wantedRoom;
    this.#wantedRoom = 0;
    this.#isPartial = false;
    const nothingNew = state.active.isEmpty && state.active.hasRoom(room) && !state.prepared.hasNews;
    // The first root of an opening covers all that the log held before: see the sweep.
    const enough = nothingNew || (this.#swept && state.frozen.length >= MAX_FROZEN);
    if (enough && state.frozen.length > 0) {
      this.#isPartial = !nothingNew;
      return state.active.baseNumber;
    }
    if (nothingNew && !hasVictims) return undefined;
    this.pacer.progress = 0;
    try {
      return await this.#combiner.exclusive(async () => {
        await host.log.switchEpoch(encodeRoot(state.view.root.record, host.segments));
        const batch = host.log.openBatch();
        const number = batch.beginTransaction(KIND_FREEZE, host.writer, host.nextCounter());
        batch.endTransaction();
        const beganMs = host.env.clock.monotonicMs();
        await host.log.commit(batch).finally(() => batch.release());
        host.figures.noteAppend(LOG_ALIGNMENT, host.env.clock.monotonicMs() - beganMs);
        this.#frozenAt = { covered: number, logBytes: host.figures.logBytes };
        state.freeze(number, room);
        state.durable = number;
        return number;
      });
    } catch (error) {
      if (host.log.failed !== undefined) this.#combiner.logFailed(error as SopError);
      else if (error instanceof DiskFullError && state.frozen.length > 0) {
        // The root of what is frozen already lets log files go: then there is room for another one.
        this.#isPartial = true;
        return state.active.baseNumber;
      }
      throw error;
    } finally {
      this.#combiner.resume();
    }
  }

  /** Answers how long it took. */
  async #makeRoot(covered: number, victims: readonly number[], mustStop: () => void): Promise<number> {
    const host = this.#host;
    const { state, segments, reader, cache } = host;
    const root = state.view.root;
    const images = this.#images;
    const moved = this.#moved;
    const { values, pacer } = this;
    const { space, ids, prepared } = state;
    const context = { cache, segments, reader, images, moved, values, space, ids, prepared, pacer, mustStop };
    // A recovery of the log meanwhile makes a view of its own: the tables being merged stay ours until we notice.
    const view = state.views.acquire();
    let result: CheckpointResult;
    try {
      const relocations =
        victims.length === 0
          ? NO_RELOCATIONS
          : await findRelocations({ segments, reader, space, values: moved, root }, victims);
      mustStop();
      const frozen = view.tables.filter((table) => table.newestNumber <= covered && table.baseNumber < covered);
      const input = { root, frozen, covered, nextStoreId: state.nextStoreId, relocations };
      result = await new Checkpoint(context, input).run();
    } finally {
      if (state.views.release(view)) state.viewReleased(view);
    }
    mustStop();
    // Its rows say how long the files of all three are.
    values.name();
    await this.#sendRoot(result.record);
    mustStop();
    state.adopt(result.record, result.roots);
    for (const victim of victims) {
      images.forget(victim);
      moved.forget(victim);
      this.#values.forget(victim);
    }
    state.reclaims.add({ covered, segments: result.dead });
    const { figures } = host;
    const logBytes = this.#frozenAt.covered === covered ? this.#frozenAt.logBytes : figures.logBytesAtRoot;
    const nowMs = host.env.clock.monotonicMs();
    const ms = figures.checkpointEnds(covered, nowMs, result.bytesWritten, result.entriesMerged, logBytes);
    this.#combiner.resume();
    await this.#tidyUp(covered);
    return ms;
  }

  /** From here on a root that counts may name what the cycle wrote; if it is refused for certain, nothing does. */
  async #sendRoot(record: RootRecord): Promise<void> {
    const host = this.#host;
    const writers = [this.#images, this.#moved];
    const before = writers.map((writer) => writer.name());
    try {
      await this.#combiner.control(KIND_ROOT, encodeRoot(record, host.segments), host.writer, host.nextCounter());
    } catch (error) {
      // A combiner that goes on refuses only what it never gave to the log, or did not find in the log when it read that again.
      const isRefused = !this.#combiner.isStopped && host.state.view.root.record.covered !== record.covered;
      if (isRefused) writers.forEach((writer, i) => void writer.unname(before[i] as ReadonlyMap<number, number>));
      throw error;
    }
  }

  /** What a new root makes needless goes. The root is adopted whatever becomes of this: errors are told, and that is all. */
  async #tidyUp(covered: number): Promise<void> {
    const { log, backgroundError } = this.#host;
    const steps: (() => Promise<void> | void)[] = [
      () => log.removeEpochsBefore(log.oldestEpochNeeded(covered)),
      () => this.#sweep(covered),
      () => this.#reclaim(),
      () => void log.prepareNextEpoch().catch(backgroundError),
    ];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        backgroundError(error);
      }
    }
  }

  /** After a cycle that was given up: writers, files, counts and flags as if it had never been. */
  async #startOver(): Promise<void> {
    const { factory, state, pinnedRoots, backgroundError } = this.#host;
    const failed = [this.#images, this.#moved];
    this.#images = new SegmentWriter(factory, SEGMENT_IMAGES);
    this.#moved = new SegmentWriter(factory, SEGMENT_VALUES);
    for (const writer of failed) await writer.abandon((index) => !pinnedRoots.isCopied(index)).catch(backgroundError);
    state.forgetSpace();
    this.#spaceLoaded = false;
  }

  /**
   * Files that the root does not name and no live writer owns, left by a crash. Once, after the first root of this opening, which
   * covers all that the log held before: no record that a later opening reads can name them.
   */
  #sweep(covered: number): void {
    if (this.#swept) return;
    this.#swept = true;
    const { env, segments, state } = this.#host;
    const prepared = state.prepared.segments(segments);
    const orphans: number[] = [];
    for (const index of this.#othersFiles()) {
      if (prepared.has(index)) continue;
      if (!state.space.segments.has(index)) orphans.push(index);
      else state.space.noteFileSize(index, env.files.status(segments.path(index))?.sizeBytes ?? 0);
    }
    state.reclaims.add({ covered, segments: orphans });
  }

  /**
   * The same where the first root has no room: what the log names stays too. Once; true where something was removed.
   *
   * Of files of writers that are gone, nobody comes to name one that root, pins, log and prepared transactions do not name now: who
   * refers to a value that is there already has found it by one of these. Pins, and what a backup copies, are asked for
   * when the files go. And before they go there is a RECLAIM record in the log: with it the log is ours alone, so that a writer
   * who goes on past a lost lock can not commit what would name them.
   */
  async #sweepEarly(): Promise<boolean> {
    if (this.#swept || this.#sweptEarly || this.#stopping) return false;
    this.#sweptEarly = true;
    const { state, segments, log, cache, figures, backgroundError } = this.#host;
    const before = figures.segmentsReclaimed;
    try {
      const candidates = this.#othersFiles();
      this.loadSpace();
      const { covered } = state.view.root.record;
      const named = this.#host.segmentsInUse();
      for (const index of state.space.segments.keys()) named.add(index);
      const proven = log.durableNumber;
      const opening = await this.#host.readLog();
      try {
        // Somebody else is at work here, or the root is another one: nothing of what was looked at is sure.
        if (opening.durableNumber < proven || opening.coveredNumber !== covered) return false;
        for (const index of await namedByLog(opening.replay(), segments, cache, this.#host.env)) named.add(index);
      } finally {
        opening.close();
      }
      if (state.view.root.record.covered !== covered) return false;
      state.reclaims.add({ covered, segments: candidates.filter((index) => !named.has(index)) });
      await this.#reclaim();
    } catch (error) {
      backgroundError(error);
    }
    return figures.segmentsReclaimed > before;
  }

  /** Segment files of writers that are gone: we hold the lock. */
  #othersFiles(): number[] {
    const { env, segments, factory } = this.#host;
    const found: number[] = [];
    for (const name of env.files.list(segments.folder)) {
      const parsed = parseSegmentFileName(name);
      if (parsed === undefined || factory.hasName(parsed.writer)) continue;
      found.push(segments.indexOf(parsed.writer, parsed.segmentNumber));
    }
    return found;
  }

  async #reclaim(): Promise<void> {
    const host = this.#host;
    // First, since it reads: a failure must not lose what was taken.
    host.pinnedRoots.segments();
    const free = host.pinnedRoots.withhold(host.state.reclaims.take(host.state.views.oldestRoot()));
    if (free.length === 0) return;
    try {
      await this.#combiner.control(KIND_RECLAIM, encodeReclaim(host.segments, free), host.writer, host.nextCounter());
    } catch (error) {
      host.state.reclaims.add({ covered: host.state.view.root.record.covered, segments: free });
      throw error;
    }
    let bytes = 0;
    for (const index of free) {
      host.cache.forget(index);
      try {
        bytes += host.env.files.status(host.segments.path(index))?.sizeBytes ?? 0;
        host.segments.removeFile(index);
      } catch (error) {
        // No root names it: the next opening sweeps it.
        host.backgroundError(error);
      }
    }
    host.figures.noteReclaimed(free.length, bytes);
  }

  /** Sees that `state.space` knows every segment. */
  loadSpace(): void {
    if (this.#spaceLoaded) return;
    const { reader, state, cache } = this.#host;
    loadSpace(state.space, state.view.root, reader, cache);
    this.#spaceLoaded = true;
  }

  /** A victim that is still being written ends here: what follows goes to a new segment. */
  #endVictims(victims: readonly number[]): void {
    for (const writer of [this.#images, this.#moved, this.values]) {
      if (victims.includes(writer.currentSegment)) writer.finish();
    }
  }

  #armIdle(delayMs: number): void {
    this.#idleTimer = this.#host.env.timers.after(delayMs, () => {
      this.#idleTimer = undefined;
      if (this.#stopping) return;
      this.#idle();
    });
  }

  #idle(): void {
    const { env, log, state } = this.#host;
    const quietMs = env.clock.monotonicMs() - this.#lastCommitMs;
    if (quietMs < IDLE_NOTE_MS || this.#combiner.busy) {
      this.#armIdle(IDLE_NOTE_MS);
      return;
    }
    if (!this.#noted && log.idle && log.failed === undefined) {
      this.#noted = true;
      try {
        log.noteIdle();
      } catch (error) {
        this.#host.backgroundError(error);
      }
    }
    const hasChanges = state.active.usedBytes >= IDLE_CHECKPOINT_BYTES || state.active.allRuns().length > 0;
    if (!hasChanges && !this.#choice.areThere()) return;
    if (quietMs < IDLE_CHECKPOINT_MS) {
      this.#armIdle(IDLE_CHECKPOINT_MS - quietMs + 1);
      return;
    }
    this.request();
  }
}
