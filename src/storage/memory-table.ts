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
import { ITEM_ID_BYTES, setItemNumber } from '../log/placeholder.ts';
import { OP_INCREMENT, OP_NOOP, OP_PUT, RECORD_PLACEHOLDER, recordWords } from '../log/record.ts';
import { enterIncrement } from './increments.ts';
import { IndexNodes } from './index-nodes.ts';
import { PointFilter } from './point-filter.ts';
import { FIRST_ADDRESS, RecordArena } from './record-arena.ts';
import { RecordIndex } from './record-index.ts';
import type { Run } from './run.ts';

/** In word 0 of a record. */
const PLACEHOLDER = RECORD_PLACEHOLDER << 8;

/** What a table's records and indexes lie in, empty. */
export interface TableMemory {
  readonly arena: RecordArena;
  readonly nodes: IndexNodes;
  /** For absent keys. */
  readonly filter: PointFilter | undefined;
}

export interface MemoryTableOptions {
  /** All numbers in the table are above it and less than 2 ** 32 away. */
  readonly baseNumber: number;
  readonly capacityBytes: number;
  /** Asked for memory with the first record: who opens a database to read pays for none. */
  readonly supply: () => TableMemory;
}

export class MemoryTable {
  readonly baseNumber: number;
  readonly capacityBytes: number;
  /** Newest number applied or adopted; `baseNumber` while there is none. */
  newestNumber: number;
  /** Records taken in, superseded ones and range removals included. */
  records = 0;
  readonly #stores = new Map<number, RecordIndex>();
  readonly #runs = new Map<number, Run[]>();
  readonly #supply: () => TableMemory;
  #memory: TableMemory | undefined;

  constructor(options: MemoryTableOptions) {
    this.baseNumber = options.baseNumber;
    this.newestNumber = options.baseNumber;
    this.capacityBytes = options.capacityBytes;
    this.#supply = options.supply;
  }

  /** A table in one arena, without a filter. */
  static over(arena: RecordArena, baseNumber: number): MemoryTable {
    const supply = () => ({ arena, nodes: new IndexNodes(256), filter: undefined });
    return new MemoryTable({ baseNumber, capacityBytes: arena.capacityBytes, supply });
  }

  /** Undefined while there is no record. */
  get memory(): TableMemory | undefined {
    return this.#memory;
  }

  /** Takes in a store's records of transaction `number`, as they are in the log. `hasRoom` was asked before. */
  applySection(storeId: number, from: Uint8Array, start: number, byteLength: number, number: number): void {
    const relative = number - this.baseNumber;
    assert(number >= this.newestNumber && relative > 0 && relative <= 0xffff_ffff, 'numbers rise within a table');
    this.newestNumber = number;
    this.#memory ??= this.#supply();
    const first = this.#memory.arena.appendSection(from, start, byteLength);
    this.#index(this.#memory, storeId, first, first + (byteLength >>> 2), relative);
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
    const index = this.#stores.get(run.storeId);
    if (index !== undefined) index.overRuns = true;
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
    return this.#memory?.arena.usedBytes ?? EMPTY_ARENA_BYTES;
  }

  hasRoom(byteLength: number): boolean {
    return this.usedBytes + byteLength <= this.capacityBytes;
  }

  #storeFor(memory: TableMemory, storeId: number): RecordIndex {
    const known = this.#stores.get(storeId);
    if (known !== undefined) return known;
    const index = new RecordIndex({ ...memory, baseNumber: this.baseNumber, linked: true, storeId });
    index.overRuns = this.#runs.has(storeId);
    this.#stores.set(storeId, index);
    return index;
  }

  #index(memory: TableMemory, storeId: number, first: number, end: number, relative: number): void {
    const index = this.#storeFor(memory, storeId);
    const words = memory.arena.words;
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
      if ((word0 & PLACEHOLDER) !== 0) fillPlaceholder(memory.arena, address, relative + this.baseNumber);
      words[address + 2] = relative;
      words[address + 3] = 0;
      if (op !== OP_NOOP) {
        index.insert(address);
        if (op === OP_INCREMENT) enterIncrement(index, address, this.runs(storeId));
        this.records++;
      }
      address += size;
    }
  }
}

/** The key ends with a placeholder for the number, which the transaction has been given by now. */
function fillPlaceholder(arena: RecordArena, address: number, number: number): void {
  const word0 = arena.words[address] as number;
  if (word0 >>> 16 < ITEM_ID_BYTES) {
    throw new CorruptionError('a record has a placeholder in a key without room for one', { details: { number } });
  }
  setItemNumber(arena.bytes, arena.keyEnd(address), number);
  arena.words[address] = (word0 & ~PLACEHOLDER) >>> 0;
}

const NO_RUNS: readonly Run[] = [];
/** What an arena without records counts as used. */
const EMPTY_ARENA_BYTES = 4 * FIRST_ADDRESS;

export interface MemoryTablePoolOptions {
  readonly arenaBytes: number;
  /** Arenas in SharedArrayBuffers, for merging in a worker. */
  readonly shared?: boolean;
  /** Released sets of memory that are kept for reuse (default 3). */
  readonly keep?: number;
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
    const { arenaBytes } = this.#options;
    const isUsual = leastBytes + EMPTY_ARENA_BYTES <= arenaBytes;
    const capacityBytes = this.#arenaBytes(isUsual ? arenaBytes : leastBytes + EMPTY_ARENA_BYTES);
    const supply = () => (isUsual ? this.#free.pop() : undefined) ?? this.#fresh(capacityBytes);
    return new MemoryTable({ baseNumber, capacityBytes, supply });
  }

  /** Takes the memory of a table that nobody reads any more. */
  release(table: MemoryTable): void {
    const { memory } = table;
    if (memory === undefined || table.capacityBytes !== this.#arenaBytes(this.#options.arenaBytes)) return;
    if (this.#free.length >= (this.#options.keep ?? 3)) return;
    memory.arena.reset();
    memory.nodes.reset();
    memory.filter?.reset();
    this.#free.push(memory);
  }

  #arenaBytes(byteLength: number): number {
    return Math.ceil(byteLength / 4096) * 4096;
  }

  #fresh(size: number): TableMemory {
    const buffer = this.#options.shared === true ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
    return {
      arena: new RecordArena(buffer, false),
      // Room for records of 64 bytes in leaves two thirds full; pages never used are never touched.
      nodes: new IndexNodes(Math.max(16, Math.ceil(size / 64 / 40))),
      filter: new PointFilter(size / 32),
    };
  }
}
