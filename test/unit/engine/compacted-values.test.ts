/**
 * Values in segments that compaction takes away while only the log, or a transaction still open, refers to them; and what a
 * crash leaves behind the end of a segment. Each of these lost committed values, or stopped compaction for good.
 */
import { expect, it } from 'vitest';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import type { EngineApi, EngineTransaction } from '../../../src/transaction/engine-api.ts';
import { bytesOf, FOLDER, get, openSmall, putSeparate, STORE, write } from './small-engine.ts';

const filled = (byte: number, length: number): Uint8Array => new Uint8Array(length).fill(byte);

function putAllApart(engine: EngineApi, keys: readonly number[], length: number): Promise<number> {
  return write(engine, (tx) => {
    for (const key of keys) putSeparate(tx, `key-${key}`, filled(key, length));
  });
}

function removeAll(engine: EngineApi): Promise<number> {
  return write(engine, (tx) => tx.removeRange(STORE, undefined, undefined));
}

/** First byte and length of a key's value. */
function lookAt(engine: EngineApi, key: number): [number | undefined, number] | undefined {
  const tx = engine.begin('read');
  const value = get(tx, `key-${key}`);
  tx.rollback();
  return value && [value[0], value.length];
}

/** A folder whose one value segment is mostly dead, closed with `live` values that only the log knows. */
async function mostlyDead(env: Env, live: readonly number[]): Promise<void> {
  const engine = await openSmall(env);
  await putAllApart(engine, [1, 2, 3, 4, 5], 70_000);
  await engine.checkpoint();
  await removeAll(engine);
  await engine.checkpoint();
  await putAllApart(engine, live, 70_000);
  await engine.close();
}

async function expectSound(engine: EngineApi): Promise<void> {
  expect((await engine.verify()).problems).toEqual([]);
}

it('values that only the log refers to leave a segment before it goes', async () => {
  const env = memoryEnv();
  await mostlyDead(env, [7, 8]);
  const engine = await openSmall(env);
  await engine.compact();
  expect(lookAt(engine, 7)).toEqual([7, 70_000]);
  await engine.close();
  const again = await openSmall(env);
  expect(lookAt(again, 8)).toEqual([8, 70_000]);
  await expectSound(again);
  await again.close();
});

it('a segment that only an open transaction refers to stays until that has ended', async () => {
  const engine = await openSmall();
  await putAllApart(engine, [1], 1_000_000);
  const open = engine.begin('write');
  putSeparate(open, 'key-2', filled(2, 70_000));
  // Past 64 MiB the next file begins: the one that `open` wrote to is not being written any more.
  for (let i = 0; i < 70; i++) await putAllApart(engine, [1], 1_000_000);
  await engine.checkpoint();
  await engine.compact();
  await open.commit();
  await engine.compact();
  expect(lookAt(engine, 2)).toEqual([2, 70_000]);
  expect(lookAt(engine, 1)).toEqual([1, 1_000_000]);
  await expectSound(engine);
  await engine.close();
});

it('what a crash left behind the named end of a segment is not looked at', async () => {
  const env = memoryEnv();
  await mostlyDead(env, [7]);
  for (const name of env.files.list(`${FOLDER}/data`)) {
    const file = env.files.open(`${FOLDER}/data/${name}`, { mode: 'write' });
    file.writeSync(filled(0xa5, 5000), file.sizeBytes());
    file.close();
  }
  const engine = await openSmall(env);
  await engine.compact();
  await engine.compact();
  expect(lookAt(engine, 7)).toEqual([7, 70_000]);
  await expectSound(engine);
  await engine.close();
});

it('a segment that only the log named before its values died goes as well', async () => {
  const env = memoryEnv();
  const engine = await openSmall(env);
  await putAllApart(engine, [1, 2], 70_000);
  await engine.close();
  const again = await openSmall(env);
  await again.checkpoint();
  await removeAll(again);
  await again.compact();
  expect(again.stats().sizeBytes.segments).toBeLessThan(70_000);
  await again.close();
});

/** Puts the cell of a key again, as `updateKey` does: the reference to its value stays. */
function putAgain(tx: EngineTransaction, key: string): void {
  const bytes = bytesOf(key);
  tx.waits = true;
  expect(tx.find(STORE, bytes, 0, bytes.length)).toBe(1);
  const cell = tx.foundBytes.slice(tx.foundStart, tx.foundEnd);
  tx.put(STORE, bytes, 0, bytes.length, cell, 0, cell.length, true);
}

/** Compaction would move the one value that is left in its segment. */
async function oneOfFive(): Promise<EngineApi> {
  const engine = await openSmall();
  await putAllApart(engine, [1, 2, 3, 4, 5], 70_000);
  await engine.checkpoint();
  await write(engine, (tx) => tx.removeRange(STORE, Uint8Array.of(0), bytesOf('key-5')));
  await engine.checkpoint();
  return engine;
}

it.each(['before', 'after'])('a value that is put again %s compaction moved it is not lost', async (when) => {
  const engine = await oneOfFive();
  const open = engine.begin('write');
  if (when === 'before') putAgain(open, 'key-5');
  await engine.compact();
  if (when === 'after') putAgain(open, 'key-5');
  await open.commit();
  await engine.checkpoint();
  await engine.compact();
  await write(engine, (tx) => putSeparate(tx, 'key-9', filled(9, 70_000)));
  await engine.compact();
  expect(lookAt(engine, 5)).toEqual([5, 70_000]);
  await expectSound(engine);
  await engine.close();
});
