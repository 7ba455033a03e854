/** A transaction as its user holds it. */
import { InvalidArgumentError, type SopError, StoreMismatchError } from '../base/errors.ts';
import type { KeyValue } from '../codec/tuple.ts';
import type { TransactionKind } from '../transaction/engine-api.ts';
import { type AnyDefinition, toDefinition } from './catalog.ts';
import type { IndexInputs } from './define-index.ts';
import { type BagDefinition, checkStoreName, type NoIndexes, StoreDefinition } from './define-store.ts';
import { type StoreInfo, toStoreInfo } from './listing.ts';
import { TxBag } from './bag.ts';
import { checkParticipant, type Participant, type PreparedTransaction } from './participants.ts';
import { TxStore } from './store.ts';
import type { Savepoint, TransactionCore } from './transaction-core.ts';

/** A key of a store whose definition is only known to the database. */
export type AnyKey = KeyValue | Readonly<Record<string, unknown>>;

/**
 * - 'write': strictly serializable reads and changes; the commit is refused (`ConflictError`) if anything read has changed.
 * - 'read': a snapshot; never blocks a writer, never conflicts.
 * - 'noCheck': for data that does not change: reads without registering anything. Ends with `SnapshotTooOldError` where its
 *   state was reclaimed meanwhile.
 *
 * Ended by `commit` or `rollback`; one that is left open by an `await using` block is rolled back.
 */
export class Transaction implements AsyncDisposable {
  readonly #core: TransactionCore;

  /** Use `db.write`, `db.read` or `db.begin`. */
  constructor(core: TransactionCore) {
    this.#core = core;
  }

  /** Names the transaction for ever; see `db.resolve`. */
  get id(): string {
    return this.#core.engine.id;
  }

  get kind(): TransactionKind {
    return this.#core.engine.kind;
  }

  /** The number of the newest transaction whose changes this one sees. */
  get snapshot(): number {
    return this.#core.engine.snapshot;
  }

  /** Committed, rolled back, out of time, or closed with its database. */
  get ended(): boolean {
    return this.#core.engine.ended;
  }

  /**
   * A store for the length of this transaction. A write transaction creates it where there is none; for others it then is
   * empty. It also gives the store the indexes that the definition has, which are then built in the background, and drops those
   * that it has not. Handed a name, opens the store under the definition in the catalog (`StoreNotFoundError` where there is none).
   * Throws `StoreMismatchError`, naming the difference, where the database holds another shape under the name.
   */
  store<K, V, R extends string>(definition: BagDefinition<K, V, R>): TxBag<K, V, R>;
  store<K, V, R extends string, I = NoIndexes>(definition: StoreDefinition<K, V, R, I>): TxStore<K, V, R, I>;
  store(name: string): TxStore<AnyKey, unknown, string, IndexInputs<AnyKey, unknown>>;
  store<K, V, R extends string, I>(which: StoreDefinition<K, V, R, I> | string): unknown {
    if (typeof which === 'string') {
      const core = this.#core.openNamed(which);
      if (core.codec.suffixBytes === 0) return new TxStore<AnyKey, unknown, string>(core);
      throw new StoreMismatchError(`store '${which}' keeps equal keys (unique: false): open it with tx.bag`, {
        details: { store: which },
      });
    }
    if (!(which instanceof StoreDefinition)) {
      throw new InvalidArgumentError('tx.store takes what defineStore hands out, or the name of a store');
    }
    const core = this.#core.openDefined(which as unknown as AnyDefinition);
    return which.unique ? new TxStore<K, V, R, I>(core) : new TxBag<K, V, R>(core);
  }

  /**
   * A store of equal keys (`unique: false`) by its name, under the definition in the catalog. `StoreNotFoundError` where there is
   * none, `StoreMismatchError` where its keys are unique.
   */
  bag(name: string): TxBag<AnyKey, unknown, string> {
    checkStoreName(name);
    const core = this.#core.openNamed(name);
    if (core.codec.suffixBytes > 0) return new TxBag<AnyKey, unknown, string>(core);
    throw new StoreMismatchError(`the keys of store '${name}' are unique: open it with tx.store`, {
      details: { store: name },
    });
  }

  /** The definition of a store as the catalog has it; usable with `store`. */
  definitionOf(name: string): StoreDefinition<AnyKey, unknown, string, IndexInputs<AnyKey, unknown>> {
    this.#core.mustBeOpen();
    checkStoreName(name);
    const { stored } = this.#core.mustFind(name);
    return toDefinition(name, stored) as StoreDefinition<AnyKey, unknown, string, IndexInputs<AnyKey, unknown>>;
  }

  /** What the catalog says of a store, its entries left uncounted. `StoreNotFoundError` where there is none. */
  describe(name: string): StoreInfo {
    this.#core.mustBeOpen();
    checkStoreName(name);
    return toStoreInfo(this.#core.mustFind(name));
  }

  /** Drops a store with everything in it, whatever its size, as part of this transaction. `StoreNotFoundError` if there is none. */
  drop(name: string): void {
    checkStoreName(name);
    this.#core.drop(name);
  }

  /**
   * Has an index built anew, in the background once this transaction has committed; it cannot be read until that is done.
   * `StoreNotFoundError`, or `InvalidArgumentError` where the store has no such index.
   */
  rebuildIndex(store: string, index: string): void {
    checkStoreName(store);
    this.#core.rebuildIndex(store, index);
  }

  /** Gives up a redefinition that was begun and has not ended. Harmless where there is none. */
  cancelRedefine(store: string): void {
    checkStoreName(store);
    this.#core.cancelRedefinition(store);
  }

  /** Gives a store another name. `StoreNotFoundError` if there is none, `StoreExistsError` if the new name is taken. */
  rename(from: string, to: string): void {
    checkStoreName(from);
    checkStoreName(to);
    this.#core.rename(from, to);
  }

  /**
   * A place to come back to with `rollbackTo`, as often as wanted. It costs nothing until then, except that a transaction so
   * large that it spills keeps what it had in memory at each savepoint.
   */
  savepoint(): Savepoint {
    return this.#core.savepoint();
  }

  /**
   * Undoes every change made since the savepoint: in all stores, and stores created, dropped or renamed. Savepoints made later
   * are void. What was read stays read (the commit is refused if it has changed), and so do `onCommit` and `onRollback`: they
   * belong to the transaction, not to a part of it. A store object whose store was created since throws `StoreNotFoundError`;
   * ranges that are open go on behind the last entry handed out. `InvalidArgumentError` for a void savepoint or another
   * transaction's.
   */
  rollbackTo(savepoint: Savepoint): void {
    this.#core.rollbackTo(savepoint);
  }

  /** Which run of the work this is, from 1: `db.write` runs it again where it lost to another transaction. */
  get attempt(): number {
    return this.#core.attempt;
  }

  /** What the run before this one was lost to; undefined in the first. */
  get lastConflict(): SopError | undefined {
    return this.#core.lastConflict;
  }

  /**
   * Makes somebody else's work part of this transaction: `commit` then first makes this database's part durable, asks every
   * participant to prepare, logs the decision and tells them. Where one refuses, everything is rolled back and its error is
   * passed on. Where time limit or signal end the asking, everything is rolled back and nobody's answer is waited for; who promises
   * after that hears of the rollback again. Participants that fail after the decision are told to `onBackgroundError`
   * (`ParticipantFailedError`).
   */
  join(participant: Participant): void {
    checkParticipant(participant);
    this.#core.join(participant);
  }

  /**
   * Makes the transaction durable, and all that joined, without deciding it: it is seen by nobody, is in the way of what conflicts
   * with it, and survives crashes until it is decided by what this answers, or by `db.prepared()`. Refused as `commit` is;
   * `TransactionEndedError` where somebody has decided it already, which all that joined are told then.
   */
  prepare(): Promise<PreparedTransaction> {
    return this.#core.prepare();
  }

  /** Runs `fn` with the transaction's number once it is durable. */
  onCommit(fn: (number: number) => void): void {
    this.#core.mustBeOpen();
    this.#core.engine.onCommit(fn);
  }

  /** Runs `fn` once the transaction is rolled back, with the reason where there is one. */
  onRollback(fn: (reason: unknown) => void): void {
    this.#core.mustBeOpen();
    this.#core.engine.onRollback(fn);
  }

  /**
   * Commits; answers the transaction's number once everything is durable. Refused with `ConflictError` (or
   * `SnapshotTooOldError`) where it lost to another one: nothing of it is kept, run the work again. `OutcomeUnknownError` where
   * the disk failed at the wrong moment: ask `db.resolve`.
   */
  commit(): Promise<number> {
    return this.#core.commit();
  }

  /** Forgets every change. Harmless where the transaction has ended. */
  async rollback(reason?: unknown): Promise<void> {
    this.#core.rollback(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#core.rollback();
  }
}
