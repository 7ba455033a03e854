/**
 * A memory table: the changes of one root interval, store by store, in one arena, each store with its own index. A frozen
 * table is the same object, which nobody changes any more.
 *
 * Invariants:
 *  1. Sections are applied in the order of their numbers, all above `baseNumber`.
 *  2. Readers see of it what is not newer than their snapshot, so it may grow under them.
 *  3. A section that turned out malformed leaves the table half changed: whoever gets the error drops the table.
 */
import { assert } from '../base/assert.ts';
import { CorruptionError } from '../base/errors.ts';
import { OP_NOOP, OP_PUT, recordWords } from '../log/record.ts';
import { IndexNodes } from './index-nodes.ts';
import { PointFilter } from './point-filter.ts';
import { RecordArena } from './record-arena.ts';
import { RecordIndex } from './record-index.ts';
import type { Run } from './run.ts';

export interface MemoryTableOptions {
  readonly arena: RecordArena;
  /** All numbers in the table are above it and less than 2 ** 32 away. */
  readonly baseNumber: number;
  /** Nodes to use; they are emptied. Fresh ones where left out. */
  readonly nodes?: IndexNodes;
  /** Filter for absent keys; it is emptied. */
  readonly filter?: PointFilter;
}

export class MemoryTable {
  readonly arena: RecordArena;
  readonly nodes: IndexNodes;
  readonly filter: PointFilter | undefined;
  readonly baseNumber: number;
  /** Newest number applied or adopted; `baseNumber` while there is none. */
  newestNumber: number;
  /** Records taken in, superseded ones and range removals included. */
  records = 0;
  readonly #stores = new Map<number, RecordIndex>();
  readonly #runs = new Map<number, Run[]>();

  constructor(options: MemoryTableOptions) {
    this.arena = options.arena;
    this.arena.reset();
    this.baseNumber = options.baseNumber;
    this.newestNumber = options.baseNumber;
    this.nodes = options.nodes ?? new IndexNodes(256);
    this.nodes.reset();
    this.filter = options.filter;
    this.filter?.reset();
  }

  /** Takes in a store's records of transaction `number`, as they are in the log. `hasRoom` was asked before. */
  applySection(storeId: number, from: Uint8Array, start: number, byteLength: number, number: number): void {
    const relative = number - this.baseNumber;
    assert(number >= this.newestNumber && relative > 0 && relative <= 0xffff_ffff, 'numbers rise within a table');
    this.newestNumber = number;
    const first = this.arena.appendSection(from, start, byteLength);
    this.#index(this.#storeFor(storeId), first, first + (byteLength >>> 2), relative, storeId);
  }

  /** The index of a store's changes; undefined where it has none in this table. */
  store(storeId: number): RecordIndex | undefined {
    return this.#stores.get(storeId);
  }

  /** Ids of the stores that have records or runs here, ascending. */
  stores(): number[] {
    const ids = new Set([...this.#stores.keys(), ...this.#runs.keys()]);
    return [...ids].sort((a, b) => a - b);
  }

  /** Adopts a run of transaction `run.number`. */
  adoptRun(run: Run): void {
    assert(run.number >= this.newestNumber && run.number > this.baseNumber, 'numbers rise within a table');
    this.newestNumber = run.number;
    const runs = this.#runs.get(run.storeId);
    if (runs === undefined) this.#runs.set(run.storeId, [run]);
    else runs.unshift(run);
  }

  /** Runs adopted for a store, newest first. */
  runs(storeId: number): readonly Run[] {
    return this.#runs.get(storeId) ?? NO_RUNS;
  }

  /** All runs, in no particular order. */
  allRuns(): Run[] {
    return [...this.#runs.values()].flat();
  }

  get isEmpty(): boolean {
    return this.records === 0 && this.#runs.size === 0;
  }

  get usedBytes(): number {
    return this.arena.usedBytes;
  }

  get capacityBytes(): number {
    return this.arena.capacityBytes;
  }

  hasRoom(byteLength: number): boolean {
    return this.arena.hasRoom(byteLength);
  }

  #storeFor(storeId: number): RecordIndex {
    const known = this.#stores.get(storeId);
    if (known !== undefined) return known;
    const index = new RecordIndex({
      arena: this.arena,
      nodes: this.nodes,
      baseNumber: this.baseNumber,
      linked: true,
      filter: this.filter,
      storeId,
    });
    this.#stores.set(storeId, index);
    return index;
  }

  #index(index: RecordIndex, first: number, end: number, relative: number, storeId: number): void {
    const words = this.arena.words;
    for (let address = first; address < end; ) {
      const word0 = words[address] as number;
      const op = word0 & 0xff;
      const cellLength = words[address + 1] as number;
      // A length near 2 ** 32 would wrap round in `recordWords`.
      const whole = end - address >= 4 && cellLength <= (end - address) * 4;
      const size = whole ? recordWords(word0 >>> 16, cellLength) : 0;
      if (size === 0 || size > end - address || op < OP_PUT || op > OP_NOOP) {
        throw new CorruptionError('a section of records is malformed', {
          details: { storeId, number: relative + this.baseNumber, offset: (address - first) * 4 },
        });
      }
      words[address + 2] = relative;
      words[address + 3] = 0;
      if (op !== OP_NOOP) {
        index.insert(address);
        this.records++;
      }
      address += size;
    }
  }
}

const NO_RUNS: readonly Run[] = [];

export interface MemoryTablePoolOptions {
  readonly arenaBytes: number;
  /** Arenas in SharedArrayBuffers, for merging in a worker. */
  readonly shared?: boolean;
  /** Released sets of memory that are kept for reuse (default 3). */
  readonly keep?: number;
}

interface TableMemory {
  readonly arena: RecordArena;
  readonly nodes: IndexNodes;
  readonly filter: PointFilter;
}

/** Memory of tables in rotation: fresh memory costs 3-11 us a page, used memory nothing. */
export class MemoryTablePool {
  readonly #options: MemoryTablePoolOptions;
  readonly #free: TableMemory[] = [];

  constructor(options: MemoryTablePoolOptions) {
    this.#options = options;
  }

  /** An empty table; one with a bigger arena than usual where `leastBytes` asks for it. */
  acquire(baseNumber: number, leastBytes = 0): MemoryTable {
    const memory = leastBytes + 64 <= this.#options.arenaBytes ? this.#free.pop() : undefined;
    return new MemoryTable({
      ...(memory ?? this.#fresh(Math.max(this.#options.arenaBytes, leastBytes + 64))),
      baseNumber,
    });
  }

  /** Takes the memory of a table that nobody reads any more. */
  release(table: MemoryTable): void {
    const { arena, nodes, filter } = table;
    if (arena.capacityBytes !== this.#arenaBytes(this.#options.arenaBytes) || filter === undefined) return;
    if (this.#free.length >= (this.#options.keep ?? 3)) return;
    this.#free.push({ arena, nodes, filter });
  }

  #arenaBytes(byteLength: number): number {
    return Math.ceil(byteLength / 4096) * 4096;
  }

  #fresh(byteLength: number): TableMemory {
    const size = this.#arenaBytes(byteLength);
    const buffer = this.#options.shared === true ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
    return {
      arena: new RecordArena(buffer, false),
      // Room for records of 64 bytes in leaves two thirds full; pages never used are never touched.
      nodes: new IndexNodes(Math.max(16, Math.ceil(size / 64 / 40))),
      filter: new PointFilter(size / 32),
    };
  }
}
