/**
 * Ranges removed by a transaction that has spilled. What its runs hold in the range gets explicit removals; these once were
 * counted by nobody, stayed in memory whatever their number, and came again with every removal of the same range: a large
 * transaction that cleared what it had written no longer fitted a batch of the log, and could not commit.
 */
import { expect, it } from 'vitest';
import { LimitExceededError } from '../../../src/base/errors.ts';
import type { EngineTransaction } from '../../../src/transaction/engine-api.ts';
import type { WriteBuffer } from '../../../src/storage/write-buffer.ts';
import type { WriteBufferPool } from '../../../src/storage/write-buffer.ts';
import { bytesOf, keysOf, openSmall, put, STORE, write } from './small-engine.ts';

const SPILL_BYTES = 16 * 1024;
const keyOf = (i: number): string => `key-${String(i).padStart(200, '0')}`;

/** Buffers that were handed out: how much they hold is what a transaction has in memory. */
function watchBuffers(engine: object): () => number {
  const pool = (engine as { buffers: WriteBufferPool }).buffers;
  const seen: WriteBuffer[] = [];
  const acquire = pool.acquire.bind(pool);
  pool.acquire = (storeId) => {
    const buffer = acquire(storeId);
    seen.push(buffer);
    return buffer;
  };
  return () => Math.max(...seen.map((buffer) => buffer.sectionLength));
}

function fill(tx: EngineTransaction, count: number): void {
  for (let i = 0; i < count; i++) put(tx, keyOf(i), 'v');
}

const clear = (tx: EngineTransaction, from?: number, to?: number): void =>
  tx.removeRange(
    STORE,
    from === undefined ? undefined : bytesOf(keyOf(from)),
    to === undefined ? undefined : bytesOf(keyOf(to)),
  );

it('spilled entries that are removed as a range take no more memory than others', async () => {
  const engine = await openSmall();
  await write(engine, (tx) => put(tx, keyOf(7), 'before'));
  const longest = watchBuffers(engine);
  const tx = engine.begin('write');
  fill(tx, 4000);
  for (let i = 0; i < 20; i++) clear(tx, 1, 3999);
  // A piece of them is looked for at a time.
  expect(longest()).toBeLessThan(SPILL_BYTES + 1001 * 250);
  expect(keysOf(tx)).toEqual([keyOf(0), keyOf(3999)]);
  put(tx, keyOf(5), 'again');
  await tx.commit();
  expect(keysOf(engine.begin('read'))).toEqual([keyOf(0), keyOf(5), keyOf(3999)]);
  await engine.checkpoint();
  expect(keysOf(engine.begin('read'))).toEqual([keyOf(0), keyOf(5), keyOf(3999)]);
  expect((await engine.verify()).problems).toEqual([]);
  await engine.close();
});

it('a run that is wholly removed goes at once, but not where a savepoint comes back to it', async () => {
  const engine = await openSmall();
  const tx = engine.begin('write');
  fill(tx, 1000);
  const place = tx.savepoint();
  const keys = keysOf(tx);
  clear(tx);
  expect(keysOf(tx)).toEqual([]);
  tx.rollbackTo(place);
  expect(keysOf(tx)).toEqual(keys);
  clear(tx, 10);
  clear(tx);
  put(tx, 'last', '1');
  await tx.commit();
  expect(keysOf(engine.begin('read'))).toEqual(['last']);

  const other = engine.begin('write');
  fill(other, 1000);
  const before = engine.stats().spills.bytes;
  clear(other);
  clear(other);
  await other.commit();
  expect(engine.stats().spills.bytes).toBe(before);
  expect(keysOf(engine.begin('read'))).toEqual([]);
  await engine.close();
});

it('a removed entry that is put again and removed again with its range is gone', async () => {
  const engine = await openSmall();
  const tx = engine.begin('write');
  fill(tx, 500);
  clear(tx, 100, 200);
  for (let i = 150; i < 160; i++) put(tx, keyOf(i), 'again');
  expect(keysOf(tx)).toHaveLength(410);
  clear(tx, 100, 200);
  expect(keysOf(tx)).toHaveLength(400);
  await tx.commit();
  expect(keysOf(engine.begin('read'))).toHaveLength(400);
  await engine.close();
});

it('what a savepoint takes back does not count for maxTransactionBytes', async () => {
  const engine = await openSmall(undefined, { maxTransactionBytes: 2048 });
  const tx = engine.begin('write');
  put(tx, 'first', 'x'.repeat(1000));
  const place = tx.savepoint();
  for (let i = 0; i < 100; i++) {
    put(tx, 'key', 'x'.repeat(500));
    tx.rollbackTo(place);
  }
  expect(() => put(tx, 'key', 'x'.repeat(2000))).toThrow(LimitExceededError);
  put(tx, 'key', 'x'.repeat(900));
  await tx.commit();
  await engine.close();
});
