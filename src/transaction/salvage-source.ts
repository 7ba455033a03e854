/**
 * Where a salvage begins: whose the damaged folder is, what its log holds, and which trees to read.
 */
import { readU32 } from '../base/bytes.ts';
import { SopError } from '../base/errors.ts';
import type { Env } from '../env/env.ts';
import { epochPath, listEpochs, logFolder } from '../log/epoch-file.ts';
import { decodeHandle, HANDLE_BYTES, type Handle } from '../node/handle.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { DatabaseFolder } from '../storage/database-folder.ts';
import { decodeRoot, type RootRecord } from '../storage/root.ts';
import { type FoundLog, readDamagedLog } from '../storage/salvage-log.ts';
import type { Lost } from '../storage/salvage-report.ts';
import { findForests, walkTree } from '../storage/salvage-trees.ts';
import { parseSegmentFileName, type Segments } from '../storage/segments.ts';
import { FOREST_STORE, idKey, idOfKey } from '../storage/system-stores.ts';
import type { Losses } from './salvage-losses.ts';

export interface SourceOptions {
  readonly env: Env;
  readonly folder: string;
  readonly segments: Segments;
  readonly cache: ImageCache;
  readonly losses: Losses;
}

/** The trees that a salvage reads. */
export interface ChosenTrees {
  /** The number that they are as of; 0 where there are none. */
  readonly covered: number;
  /** The newest root could not be used. */
  readonly isOlder: boolean;
  /** Ids of stores and roots of their trees, by id. */
  readonly stores: readonly (readonly [number, Handle])[];
  /** Ids from here on were given out after it; 0 where that is not known. */
  readonly nextStoreId: number;
}

const NO_TREES: ChosenTrees = { covered: 0, isOlder: false, stores: [], nextStoreId: 0 };
const EPOCH_MAGIC_WORD = 0x45504f53;
const SEGMENT_MAGIC_WORD = 0x47455353;

export class SalvageSource {
  readonly #options: SourceOptions;

  constructor(options: SourceOptions) {
    this.#options = options;
  }

  readLog(): FoundLog {
    const { env, folder, losses } = this.#options;
    return readDamagedLog(env, folder, this.#identity(), losses.note);
  }

  /** The newest root whose forest can be read at its top; forests that nobody names any more where there is none. */
  choose(log: FoundLog): ChosenTrees {
    const { losses, segments } = this.#options;
    const roots = this.#decode(log.roots);
    for (const [at, { forest, covered, nextStoreId }] of roots.entries()) {
      const isOlder = at > 0 && roots[0]?.covered !== covered;
      if (isOlder) losses.gap();
      const stores = forest === undefined ? [] : this.#readForest(forest, idKey(nextStoreId));
      if (stores !== undefined) return { covered, isOlder, stores, nextStoreId };
    }
    if (roots.length > 0) losses.gap();
    // All that a log from the first number on says is everything.
    if (roots.length === 0 && log.batches[0]?.firstNumber === 1) return NO_TREES;
    for (const forest of findForests(segments)) {
      const stores = this.#readForest(forest);
      if (stores === undefined) continue;
      if (roots.length === 0) this.#noteNoRoot(log, forest.newest);
      return { covered: forest.newest, isOlder: true, stores, nextStoreId: 0 };
    }
    if (roots.length > 0) losses.note({ what: 'all trees: no root can be read' });
    else if (log.headers === 0) this.#noteNoRoot(log, 0);
    return { ...NO_TREES, isOlder: roots.length > 0 };
  }

  /** Nothing tells how far the database had come. */
  #noteNoRoot(log: FoundLog, covered: number): void {
    const { env, folder, losses } = this.#options;
    const after = covered === 0 ? 'everything' : `everything after number ${covered}`;
    const isGone = listEpochs(env.files, folder).length === 0;
    const but = log.batches.length === 0 ? '' : ' but for the transactions of it that can be read';
    const what = isGone ? `the log is missing: ${after}` : `no root of the log can be read: ${after}${but}`;
    losses.note({ what, file: logFolder(folder) });
    losses.gap();
  }

  /** Newest first. */
  #decode(records: readonly Uint8Array[]): RootRecord[] {
    const { segments, losses } = this.#options;
    const decoded = records.flatMap((bytes) => {
      try {
        return [decodeRoot(bytes, segments)];
      } catch (error) {
        if (!(error instanceof SopError)) throw error;
        losses.note({ what: `a root record: ${error.message}` });
        return [];
      }
    });
    return decoded.sort((a, b) => b.covered - a.covered);
  }

  /**
   * Undefined where nothing of it can be read: another one is taken then, so only its top is named as lost. `end`: the first id
   * that it can not hold.
   */
  #readForest(forest: Handle, end?: Uint8Array): [number, Handle][] | undefined {
    const { cache, losses, segments } = this.#options;
    const stores: [number, Handle][] = [];
    const lost: Lost[] = [];
    walkTree(cache, FOREST_STORE, forest, {
      entry: (key, cells, start, end) => {
        const storeId = key.length === 4 ? idOfKey(key, 0) : undefined;
        if (storeId !== undefined && end - start === HANDLE_BYTES + 1) {
          stores.push([storeId, decodeHandle(cells, start + 1, segments)]);
        } else lost.push({ what: 'a malformed row of the forest', store: storeId ?? FOREST_STORE, key });
      },
      lost: (one) => lost.push(one.upper === undefined && end !== undefined ? { ...one, upper: end } : one),
    });
    if (stores.length === 0) {
      const [first] = lost;
      if (first !== undefined) losses.note(first);
      return undefined;
    }
    for (const one of lost) losses.note(one);
    return stores.sort(([a], [b]) => a - b);
  }

  /** From sop.json, or where that is damaged from a segment or a log file: all of them name the database. */
  #identity(): Uint8Array {
    const { env, folder, losses } = this.#options;
    try {
      return new DatabaseFolder(env, folder).mustReadIdentity().id;
    } catch (error) {
      if (!(error instanceof SopError)) throw error;
      const logs = listEpochs(env.files, folder).map((epoch) => epochPath(folder, epoch));
      const id = this.#idIn(logs, 24) ?? this.#idIn(this.#segmentPaths(), 8);
      if (id === undefined) throw error;
      losses.note({ what: `the identity: ${error.message}`, file: `${folder}/sop.json`, offset: 0 });
      return id;
    }
  }

  #segmentPaths(): string[] {
    const { env, segments } = this.#options;
    if (env.files.status(segments.folder) === undefined) return [];
    const names = env.files.list(segments.folder).filter((name) => parseSegmentFileName(name) !== undefined);
    return names.map((name) => `${segments.folder}/${name}`);
  }

  #idIn(paths: readonly string[], at: number): Uint8Array | undefined {
    for (const path of paths.toReversed()) {
      try {
        const id = idOfFile(this.#options.env, path, at);
        if (id !== undefined) return id;
      } catch (error) {
        // One that can not be read may have one beside it that can.
        if (!(error instanceof SopError)) throw error;
      }
    }
    return undefined;
  }
}

function idOfFile(env: Env, path: string, at: number): Uint8Array | undefined {
  const file = env.files.open(path, { mode: 'read' });
  try {
    const id = new Uint8Array(16);
    const magic = new Uint8Array(4);
    const got = file.readSync(id, at);
    file.readSync(magic, 0);
    const word = readU32(magic, 0);
    return got === 16 && (word === EPOCH_MAGIC_WORD || word === SEGMENT_MAGIC_WORD) ? id : undefined;
  } finally {
    file.close();
  }
}
