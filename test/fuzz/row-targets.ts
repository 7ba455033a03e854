/** Rows of catalog and indexes, cells, descriptors of runs: what a database has of its stores, as targets of the fuzzer. */
import { keySpecDefinition } from '../../src/codec/key-spec.ts';
import {
  decodeStoreDefinition,
  encodeStoreDefinition,
  highestIdOfDefinition,
  type StoredDefinition,
} from '../../src/codec/store-definition.ts';
import { ITEM_ID_BYTES } from '../../src/log/placeholder.ts';
import type { SegmentNames } from '../../src/node/handle.ts';
import { openRun } from '../../src/storage/tree-run.ts';
import { toDefinition } from '../../src/store/catalog.ts';
import { BUILD_BEGINS, decodeIndexState, encodeIndexState } from '../../src/store/index-state.ts';
import { IndexedRow, IndexSet, ownerKeyIn } from '../../src/store/index-set.ts';
import { ShapeStore } from '../../src/store/shape-store.ts';
import { StoreCodec } from '../../src/store/store-codec.ts';
import { type Target, words } from './fuzz.ts';
import { BY_NAME, PLAIN } from './sample-definitions.ts';

const BY_TAGS = { name: 'byTags', id: 72, unique: false, fields: undefined, version: 3, many: true };
const BY_PLACE = { ...BY_NAME, name: 'byPlace', id: 73, unique: false, fields: [{ name: 'c', descending: true }] };
/** One of each kind that version 2 of the row says. */
const LATER: readonly StoredDefinition[] = [
  { ...PLAIN, indexes: [BY_NAME, BY_TAGS, BY_PLACE] },
  { ...PLAIN, key: keySpecDefinition(undefined), counter: true },
  { ...PLAIN, key: keySpecDefinition(['a'], ['hits', 'bytes'], ['hits', 'bytes']) },
  { ...PLAIN, unique: false, values: 'separate' },
  { ...PLAIN, next: { definition: { ...PLAIN, id: 74, indexes: [BY_NAME] }, mapId: 75, changesId: 76 } },
];

const DEFINITION_WORDS = words(
  'name',
  'fields',
  'indexes',
  'unique',
  'rideOn',
  'values',
  'generation',
  'counter',
  'counters',
  'next',
  'mapId',
  'many',
  'version',
  '__proto__',
);

/** Shapes of a database that has none. */
const SHAPES = new ShapeStore({ readRow: () => undefined } as never);

function codecOf(stored: StoredDefinition): StoreCodec {
  return new StoreCodec(toDefinition(stored.name, stored), SHAPES);
}

/** What a database does with a row of its catalog: a codec, the indexes, the row again. */
function takeDefinition(bytes: Uint8Array): void {
  const stored = decodeStoreDefinition(bytes);
  highestIdOfDefinition(bytes);
  new IndexSet(stored, codecOf(stored), undefined).find('byName');
  const again = decodeStoreDefinition(encodeStoreDefinition(stored));
  if (again.name !== stored.name || again.indexes.length !== stored.indexes.length) throw new Error('another one');
  if (stored.next !== undefined) codecOf(stored.next.definition);
}

/** An entry in one piece: a length, the key, the cell. */
function entryOf(key: Uint8Array, cell: Uint8Array): Uint8Array {
  return Uint8Array.from([key.length, ...key, ...cell]);
}

function entryIn(bytes: Uint8Array): { key: Uint8Array; cell: Uint8Array } {
  const keyEnd = Math.min(bytes.length, 1 + (bytes[0] ?? 0));
  return { key: bytes.slice(1, keyEnd), cell: bytes.slice(keyEnd) };
}

/** A target that reads entries of a store, and makes the keys they have in its indexes. */
function entryTarget(
  name: string,
  stored: StoredDefinition,
  entries: readonly (readonly [unknown, unknown])[],
): Target {
  const codec = codecOf(stored);
  const indexes = new IndexSet(stored, codec, undefined);
  const seeds = entries.map(([key, value]) => {
    codec.encodeKey(key);
    const suffix = new Uint8Array(codec.suffixBytes);
    const bytes = Uint8Array.from([...codec.copyKey(), ...suffix]);
    codec.encodeCell(key, value);
    return entryOf(bytes, codec.copyCell());
  });
  return {
    name,
    seeds,
    // A value that no index can sort is no damage: the write is refused.
    allowed: ['INVALID_KEY', 'LIMIT_EXCEEDED'],
    run: (bytes) => {
      const { key, cell } = entryIn(bytes);
      if (key.length < codec.suffixBytes) return;
      codec.readRidingKey(key, 0, key.length, cell, 0, cell.length);
      if (((cell[0] ?? 0) & 1) === 0) codec.readValue(cell, 0, cell.length);
      const row = new IndexedRow(codec, key, cell, undefined);
      for (const index of indexes.all) if (!index.lacksFunction) index.keysOf(row);
    },
  };
}

function indexTargets(): Target[] {
  const stored = LATER[0] as StoredDefinition;
  const codec = codecOf(stored);
  const { all } = new IndexSet(stored, codec, undefined);
  codec.encodeKey({ a: 'x', b: 5 });
  const key = codec.copyKey();
  codec.encodeCell({ a: 'x', b: 5, c: 'Ulm' }, { name: 'Ada' });
  const row = new IndexedRow(codec, key, codec.copyCell(), undefined);
  return all
    .filter(({ lacksFunction }) => !lacksFunction)
    .map(
      (index): Target => ({
        name: `index-entry-${index.stored.unique ? 'unique' : 'plain'}`,
        seeds: [entryOf(index.keysOf(row)[0] as Uint8Array, index.cellOf(row))],
        run: (bytes) => {
          const { key: found, cell } = entryIn(bytes);
          index.codec.readRidingKey(found, 0, found.length, cell, 0, cell.length);
          if (index.stored.unique) ownerKeyIn(cell, 0, cell.length);
        },
      }),
    );
}

export function storeTargets(): Target[] {
  const [indexed, counters, riding, equal] = LATER as [
    StoredDefinition,
    StoredDefinition,
    StoredDefinition,
    StoredDefinition,
  ];
  const states = [
    BUILD_BEGINS,
    { ...BUILD_BEGINS, position: Uint8Array.of(1, 2, 3), done: 7, total: 90 },
    { ...BUILD_BEGINS, state: 'failed' as const, problem: 'two people are named Ada' },
  ];
  return [
    {
      name: 'store-definition-2',
      seeds: LATER.map((definition) => encodeStoreDefinition(definition)),
      dictionary: DEFINITION_WORDS,
      run: takeDefinition,
    },
    {
      name: 'index-state',
      seeds: states.map((state) => encodeIndexState(state)),
      dictionary: words('state', 'position', 'done', 'total', 'problem', 'building', 'failed'),
      run: decodeIndexState,
    },
    ...indexTargets(),
    entryTarget('entry-indexed', indexed, [
      [{ a: 'x', b: 5, c: 'Ulm' }, { name: 'Ada' }],
      [
        { a: 1, b: 'y', c: undefined },
        { name: 7, more: [1, 2] },
      ],
    ]),
    entryTarget('entry-counter', counters, [['home', 17]]),
    entryTarget('entry-riding-counters', riding, [[{ a: 'x', hits: 5, bytes: -1 }, 'page']]),
    entryTarget('entry-equal-keys', equal, [[{ a: 'x', b: 5, c: 1 }, 'task']]),
  ];
}

/** Descriptors of runs, and what is asked of a run before its images are read. */
export function runTarget(names: () => SegmentNames): Target {
  const handle = Uint8Array.of(
    ...[1, 2, 3, 4, 5, 6, 1, 0],
    ...[0, 16, 0, 0, 0, 0, 0, 0],
    ...new Array<number>(24).fill(0),
  );
  const descriptor = (first: Uint8Array, last: Uint8Array, marks: number): Uint8Array =>
    Uint8Array.from([...handle, first.length, marks, last.length, 0, ...first, ...last]);
  const item = (key: number): Uint8Array => Uint8Array.of(key, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1);
  return {
    name: 'run-descriptor',
    seeds: [descriptor(Uint8Array.of(5), Uint8Array.of(9), 0), descriptor(item(5), item(9), 0x80)],
    dictionary: [new Uint8Array(6).fill(255)],
    run: (bytes) => {
      const run = openRun({ names: names() } as never, 64, bytes, 7);
      const asked = bytes.slice(44);
      run.mayContain(asked, 0, asked.length);
      run.mayOverlap(asked, asked.slice(ITEM_ID_BYTES));
      const again = openRun({ names: names() } as never, 64, run.numbered(9).descriptor(), 9);
      if (again.entries !== run.entries) throw new Error('another run');
    },
  };
}
