/** The indexes of a database seen from above its transactions: what there is, how far it is, waiting for it. */
import { AbortedError, InvalidArgumentError } from '../base/errors.ts';
import type { Env } from '../env/env.ts';
import { AT, MISS } from '../node/entry-cursor.ts';
import { INDEX_STATE_STORE } from '../storage/system-stores.ts';
import type { EngineApi } from '../transaction/engine-api.ts';
import type { Catalog } from './catalog.ts';
import type { IndexBuildStats } from './database-stats.ts';
import type { Events } from './events.ts';
import { IndexBuilder } from './index-builder.ts';
import { notReady, readIndexState } from './index-state.ts';
import { listEntries } from './listing.ts';
import type { TransactionCore } from './transaction-core.ts';

/** An index as the database keeps it. */
export interface IndexInfo {
  readonly name: string;
  readonly unique: boolean;
  /** What it sorts by; undefined where a function says it. */
  readonly fields: readonly { readonly field: string; readonly order: 'asc' | 'desc' }[] | undefined;
  /** The version of its function. */
  readonly version: string | number | undefined;
  readonly state: 'ready' | 'building' | 'failed';
  /** While it is being built: entries of the store that are done, and how many there were when the build began. */
  readonly progress: IndexProgress | undefined;
  /** Why it could not be built. */
  readonly problem: string | undefined;
}

/** How far the build of an index is. */
export interface IndexProgress {
  readonly done: number;
  readonly total: number;
}

/** Options of `db.indexReady`. */
export interface IndexReadyOptions {
  /** Called whenever more of the index is done. */
  readonly onProgress?: (progress: IndexProgress) => void;
  readonly signal?: AbortSignal;
}

export interface IndexesHost {
  readonly engine: EngineApi;
  readonly env: Env;
  readonly catalog: Catalog;
  begin(kind: 'read' | 'write'): TransactionCore;
  readonly events: Events;
}

export class DatabaseIndexes {
  readonly #host: IndexesHost;
  readonly #builder: IndexBuilder;

  constructor(host: IndexesHost) {
    this.#host = host;
    const { engine, env, catalog, begin, events } = host;
    this.#builder = new IndexBuilder({
      env,
      catalog,
      canWrite: !engine.readOnly,
      begin,
      get closed() {
        return engine.closed;
      },
      backgroundError: events.error,
      tell: (event) => events.tell('index', event),
    });
    catalog.onIndexWork = (store) => this.#builder.look(store);
    if (!engine.readOnly) this.#resume().catch((error: unknown) => this.#failed(error));
  }

  get counts(): IndexBuildStats {
    return { ...this.#builder.counts };
  }

  stop(): Promise<void> {
    return this.#builder.stop();
  }

  list(core: TransactionCore, store: string): IndexInfo[] {
    return core.mustFind(store).stored.indexes.map(({ name, id, unique, fields, version }) => {
      const state = readIndexState(core.engine, id);
      return {
        name,
        unique,
        fields: fields?.map((field) => ({ field: field.name, order: field.descending ? 'desc' : 'asc' })),
        version,
        state: state?.state ?? 'ready',
        progress: state === undefined ? undefined : { done: state.done, total: state.total },
        problem: state?.problem,
      };
    });
  }

  ready(store: string, index: string, { onProgress, signal }: IndexReadyOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => settle(() => reject(new AbortedError('the signal was fired', { cause: signal?.reason })));
      const settle = (then: () => void) => {
        remove();
        signal?.removeEventListener('abort', abort);
        then();
      };
      const fail = (error: unknown) => settle(() => reject(error));
      const check = () => {
        try {
          const progress = this.#unready(store, index);
          if (progress === undefined) settle(resolve);
          else onProgress?.(progress);
        } catch (error) {
          fail(error);
        }
      };
      let remove = () => {};
      const removeLater = this.#builder.addWaiter({ check, fail });
      remove = () => void removeLater();
      signal?.addEventListener('abort', abort, { once: true });
      check();
      // Where a background error has ended a build, this begins it again.
      this.#builder.look(store);
    });
  }

  /** How far an index is; undefined where it is ready. */
  #unready(store: string, index: string): IndexProgress | undefined {
    const core = this.#host.begin('read');
    try {
      const stored = core.mustFind(store).stored.indexes.find((one) => one.name === index);
      if (stored === undefined) {
        throw new InvalidArgumentError(`store '${store}' has no index '${index}'`, { details: { store, index } });
      }
      const state = readIndexState(core.engine, stored.id);
      const isWaitedForInVain = state?.state === 'failed' || (state !== undefined && this.#host.engine.readOnly);
      if (isWaitedForInVain) throw notReady(store, index, state);
      return state === undefined ? undefined : { done: state.done, total: state.total };
    } finally {
      core.rollback();
    }
  }

  /** Goes on with what an earlier opening left behind. */
  async #resume(): Promise<void> {
    if (!(await this.#hasUnready())) return;
    const core = this.#host.begin('read');
    try {
      for (const { name } of await listEntries(core, this.#host.catalog)) this.#builder.look(name);
    } finally {
      core.rollback();
    }
  }

  async #hasUnready(): Promise<boolean> {
    const core = this.#host.begin('read');
    try {
      const cursor = core.engine.cursor(INDEX_STATE_STORE);
      cursor.waits = false;
      let step = cursor.first();
      for (; step === MISS; step = cursor.first()) await cursor.load();
      return step === AT;
    } finally {
      core.rollback();
    }
  }

  #failed(error: unknown): void {
    if (!this.#host.engine.closed) this.#host.events.error(error);
  }
}
