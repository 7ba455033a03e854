/** Files that can not be removed are in nobody's way. */
import { describe, expect, it } from 'vitest';
import { ioError } from '../../../src/env/io-error.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { FOLDER, getText, openSmall, put, putSeparate, write } from './small-engine.ts';

describe('old files that the system does not let go', () => {
  it('hinder no checkpoint, are told of, and go with the next opening', async () => {
    const env = memoryEnv();
    const errors: unknown[] = [];
    let engine = await openSmall(env, { onBackgroundError: (error) => errors.push(error) });
    const remove = env.files.remove.bind(env.files);
    env.files.remove = (path) => {
      if (path.endsWith('.log') || path.endsWith('.seg')) throw ioError('remove', path, 'EACCES');
      remove(path);
    };
    for (let round = 0; round < 5; round++) {
      await write(engine, (tx) => {
        put(tx, 'a', `${round}`);
        putSeparate(tx, 'large', new Uint8Array(200_000).fill(round));
      });
      await engine.compact();
    }
    expect(errors.length).toBeGreaterThan(0);
    expect(getText(engine.begin('read'), 'a')).toBe('4');
    await engine.close();
    const before = env.files.list(`${FOLDER}/data`).length + env.files.list(`${FOLDER}/log`).length;
    env.files.remove = remove;
    engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'b', '1'));
    await engine.checkpoint();
    const reading = engine.begin('read');
    expect(getText(reading, 'a')).toBe('4');
    expect((await engine.verify()).problems).toEqual([]);
    reading.rollback();
    await engine.close();
    const after = env.files.list(`${FOLDER}/data`).length + env.files.list(`${FOLDER}/log`).length;
    expect(after).toBeLessThan(before - 5);
  });
});
