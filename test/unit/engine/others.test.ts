/** Others at the same folder: a reader beside a writer, and somebody who got past the lock. */
import { describe, expect, it } from 'vitest';
import {
  DatabaseFailedError,
  OutcomeUnknownError,
  ReadOnlyError,
  SnapshotTooOldError,
} from '../../../src/base/errors.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { SEAL_POSITION } from '../../../src/log/epoch-file.ts';
import { FOLDER, getText, keysOf, openSmall, put, STORE, within, write } from './small-engine.ts';

describe('a writer whose log was sealed by somebody else', () => {
  it('stops, and does not take the right back', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'a', '1'));
    const logs = env.files.list(`${FOLDER}/log`);
    const file = env.files.open(`${FOLDER}/log/${logs.at(-1)}`, { mode: 'write' });
    file.writeSync(new Uint8Array(4096).fill(1), SEAL_POSITION);
    file.close();
    await expect(write(engine, (tx) => put(tx, 'b', '1'))).rejects.toBeInstanceOf(OutcomeUnknownError);
    await expect(write(engine, (tx) => put(tx, 'c', '1'))).rejects.toBeInstanceOf(DatabaseFailedError);
    expect(env.files.list(`${FOLDER}/log`)).toEqual(logs);
    expect(getText(engine.begin('read'), 'a')).toBe('1');
    await within(3000, 'the end', engine.close());
  });
});

describe('a reader', () => {
  it('says of a transaction it sees that it committed, and nothing of one that may commit still', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env);
    const seen = engine.begin('write');
    put(seen, 'a', '1');
    const { id } = seen;
    await seen.commit();
    await write(engine, (tx) => put(tx, 'b', '1'));
    const late = engine.begin('write');
    put(late, 'c', '1');
    const lateId = late.id;
    const reader = await openSmall(env, { readOnly: true });
    expect(await reader.resolve(id)).toBe('committed');
    await expect(reader.resolve(lateId)).rejects.toBeInstanceOf(ReadOnlyError);
    await late.commit();
    expect(await engine.resolve(lateId)).toBe('committed');
    await reader.close();
    await engine.close();
  });

  it('is told that its snapshot is too old where a writer came, reclaimed and went', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    const fill = async (value: string): Promise<void> => {
      for (let from = 0; from < 3000; from += 500) {
        await write(engine, (tx) => {
          for (let i = from; i < from + 500; i++) put(tx, `key-${i}`, value);
        });
      }
    };
    await fill('old');
    await engine.close();
    const reader = await openSmall(env, { readOnly: true, cacheBytes: 64 * 1024 });
    const reading = reader.begin('read');
    engine = await openSmall(env);
    await fill('new');
    await engine.compact();
    await engine.close();
    expect(() => keysOf(reading, STORE)).toThrow(SnapshotTooOldError);
    await reader.close();
  });
});
