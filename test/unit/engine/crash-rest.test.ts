/**
 * What a crash leaves behind the last named byte of a segment. Compaction did not know of it, so a folder whose writers were
 * killed now and then kept almost as much again as it holds, for as long as the rest of such a segment was in use.
 */
import { expect, it } from 'vitest';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { FOLDER, get, openSmall, put, putSeparate, write } from './small-engine.ts';

it('the unnamed end of a segment goes with the next compaction, what is named stays', async () => {
  const env = memoryEnv();
  let engine = await openSmall(env);
  const value = new Uint8Array(700_000).fill(7);
  await write(engine, (tx) => putSeparate(tx, 'kept', value));
  await engine.checkpoint();
  await engine.close();
  const names = env.files.list(`${FOLDER}/data`);
  for (const name of names) {
    const file = env.files.open(`${FOLDER}/data/${name}`, { mode: 'write' });
    file.writeSync(new Uint8Array(1 << 20).fill(0xee), file.sizeBytes());
    file.close();
  }
  engine = await openSmall(env);
  await write(engine, (tx) => put(tx, 'more', 'text'));
  await engine.compact();
  const sizes = env.files
    .list(`${FOLDER}/data`)
    .map((name) => env.files.status(`${FOLDER}/data/${name}`)?.sizeBytes ?? 0);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(engine.stats().sizeBytes.live + 50_000);
  expect(get(engine.begin('read'), 'kept')).toEqual(value);
  expect((await engine.verify()).problems).toEqual([]);
  await engine.close();
});
