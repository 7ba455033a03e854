/** What verify looks at, beside the trees of the newest root; and what is no damage. */
import { expect, it } from 'vitest';
import { SnapshotTooOldError } from '../../../src/base/errors.ts';
import type { Env } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database } from '../../../src/index.ts';
import { idKey, INDEX_STATE_STORE, SHAPE_STORE } from '../../../src/storage/system-stores.ts';
import type { EngineApi } from '../../../src/transaction/engine-api.ts';
import { FOLDER, openSmall, put, putSeparate, write } from './small-engine.ts';

const KIND_VALUES = 2;
const KIND_RUN = 3;

/** Flips ten bytes in the middle of every segment of a kind. */
function damage(env: Env, kind: number): number {
  let count = 0;
  for (const name of env.files.list(`${FOLDER}/data`)) {
    const file = env.files.open(`${FOLDER}/data/${name}`, { mode: 'write' });
    const head = new Uint8Array(8);
    file.readSync(head, 0);
    const bytes = new Uint8Array(10);
    const at = 4096 + Math.floor((file.sizeBytes() - 4096) / 3);
    if (head[6] === kind && file.readSync(bytes, at) === 10) {
      file.writeSync(
        bytes.map((byte) => byte ^ 0xff),
        at,
      );
      count++;
    }
    file.close();
  }
  return count;
}

async function problemsOf(engine: EngineApi): Promise<number> {
  const { ok, problems } = await engine.verify();
  expect(ok).toBe(problems.length === 0);
  return problems.length;
}

it('finds a damaged value that no checkpoint has merged yet', async () => {
  const env = memoryEnv();
  const engine = await openSmall(env);
  await write(engine, (tx) => putSeparate(tx, 'k', new Uint8Array(200_000).fill(7)));
  expect(await problemsOf(engine)).toBe(0);
  expect(damage(env, KIND_VALUES)).toBe(1);
  expect(await problemsOf(engine)).toBe(1);
  await engine.close();
});

it.each([
  ['run', KIND_RUN],
  ['value', KIND_VALUES],
])('finds a damaged %s of a transaction that waits for its decision', async (_, kind) => {
  const env = memoryEnv();
  const engine = await openSmall(env);
  const tx = engine.begin('write');
  const { id } = tx;
  putSeparate(tx, 'large', new Uint8Array(100_000).fill(1));
  for (let i = 0; i < 400; i++) put(tx, `key-${i}`, 'x'.repeat(400));
  await tx.prepare();
  expect(await problemsOf(engine)).toBe(0);
  expect(damage(env, kind)).toBeGreaterThan(0);
  expect(await problemsOf(engine)).toBeGreaterThan(0);
  await engine.decide(id, false);
  expect(await problemsOf(engine)).toBe(0);
  await engine.close();
});

it('does not call damaged what was reclaimed beside a reader', async () => {
  const env = memoryEnv();
  const engine = await openSmall(env);
  const fill = (byte: number): Promise<number> =>
    write(engine, (tx) => {
      for (let i = 0; i < 50; i++) putSeparate(tx, `key-${i}`, new Uint8Array(5000).fill(byte));
    });
  // Enough that the images stay where they are.
  await write(engine, (tx) => {
    for (let i = 0; i < 2000; i++) put(tx, `other-${i}`, 'x'.repeat(400), 200);
  });
  await fill(1);
  await engine.checkpoint();
  const reader = await openSmall(env, { readOnly: true });
  await fill(2);
  await engine.compact();
  await expect(reader.verify()).rejects.toBeInstanceOf(SnapshotTooOldError);
  await reader.close();
  expect(await problemsOf(engine)).toBe(0);
  await engine.close();
});

it.each([
  ['shape', SHAPE_STORE],
  ['state of an index', INDEX_STATE_STORE],
])('finds a row that is no %s', async (_, store) => {
  const env = memoryEnv();
  const db = await Database.openWith(env, { folder: FOLDER });
  expect((await db.verify()).problems).toEqual([]);
  await db.close();
  const engine = await openSmall(env);
  await write(engine, (tx) => {
    const key = idKey(77);
    tx.put(store, key, 0, key.length, Uint8Array.of(0, 1, 2), 0, 3, undefined);
  });
  await engine.close();
  const again = await Database.openWith(env, { folder: FOLDER });
  expect((await again.verify()).problems).toMatchObject([{ store }]);
  await again.close();
});
