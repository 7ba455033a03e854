/** Pins where something is wrong with what they keep, and what they ask of other programs. */
import { describe, expect, it } from 'vitest';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { CorruptionError } from '../../../src/base/errors.ts';
import { FOLDER, getText, keysOf, openSmall, put, write } from './small-engine.ts';

describe('a pin whose files are damaged', () => {
  it('is named by verify, lets the database go on, and removes nothing until it is given up', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    for (let i = 0; i < 50; i++) await write(engine, (tx) => put(tx, `old-${i}`, 'x'.repeat(500)));
    await engine.pin('old');
    await engine.close();
    const before = env.files.list(`${FOLDER}/data`);
    engine = await openSmall(env);
    await write(engine, (tx) => tx.removeRange(100, undefined, undefined));
    await write(engine, (tx) => put(tx, 'new', '1'));
    await engine.checkpoint();
    await engine.close();
    for (const name of before) {
      const file = env.files.open(`${FOLDER}/data/${name}`, { mode: 'write' });
      file.writeSync(new Uint8Array(file.sizeBytes() - 4096).fill(7), 4096);
      file.close();
    }
    const told: unknown[] = [];
    engine = await openSmall(env, { onBackgroundError: (error) => told.push(error) });
    await engine.compact();
    expect((await engine.verify()).ok).toBe(false);
    expect(() => keysOf(engine.begin('read', { at: 'old' }))).toThrow(CorruptionError);
    expect(getText(engine.begin('read'), 'new')).toBe('1');
    expect(told.length).toBeGreaterThan(0);
    expect(env.files.list(`${FOLDER}/data`)).toEqual(expect.arrayContaining(before));
    await engine.unpin('old');
    expect(engine.pins()).toEqual([]);
    await write(engine, (tx) => put(tx, 'newer', '2'));
    await engine.checkpoint();
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  });
});

describe('pins beside other programs', () => {
  it('are a feature that a program has to know, from before the first one on', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env);
    const identity = (): string => {
      const file = env.files.open(`${FOLDER}/sop.json`, { mode: 'read' });
      const bytes = new Uint8Array(file.sizeBytes());
      file.readSync(bytes, 0);
      file.close();
      return new TextDecoder().decode(bytes);
    };
    expect(JSON.parse(identity()).features).toEqual([]);
    await engine.pin('one');
    expect(JSON.parse(identity()).features).toEqual(['pins']);
    await engine.close();
    await (await openSmall(env)).close();
  });
});
