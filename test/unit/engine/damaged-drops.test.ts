/** A store whose tree is damaged is dropped all the same, and what is damaged is believed in nothing. */
import { describe, expect, it } from 'vitest';
import { ClosedError } from '../../../src/base/errors.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { scanImages } from '../../../src/storage/segment-scan.ts';
import { parseSegmentFileName, Segments } from '../../../src/storage/segments.ts';
import { DROPPED_STORE } from '../../../src/storage/system-stores.ts';
import { FOLDER, getText, keysOf, openSmall, put, STORE, within, write } from './small-engine.ts';

describe('dropping a store', () => {
  it('reads nothing that a damaged image names', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    for (let from = 0; from < 6000; from += 500) {
      await write(engine, (tx) => {
        for (let i = from; i < from + 500; i++) put(tx, `key-${String(i).padStart(6, '0')}`, 'value');
      });
    }
    await write(engine, (tx) => put(tx, 'kept', '1', STORE + 1));
    await engine.checkpoint();
    await engine.close();

    const segments = new Segments(env, `${FOLDER}/data`);
    let damaged = 0;
    for (const name of env.files.list(`${FOLDER}/data`)) {
      const { writer, segmentNumber } = parseSegmentFileName(name) as { writer: number; segmentNumber: number };
      const index = segments.indexOf(writer, segmentNumber);
      const file = env.files.open(`${FOLDER}/data/${name}`, { mode: 'write' });
      await scanImages(segments, index, file.sizeBytes(), ({ storeId, level, offset, length }) => {
        if (storeId !== STORE || level === 0) return;
        const noise = new Uint8Array(length - 48);
        for (let i = 0; i < noise.length; i++) noise[i] = i * 31;
        file.writeSync(noise, offset + 48);
        damaged++;
      });
      file.close();
    }
    segments.close();
    expect(damaged).toBeGreaterThan(0);

    engine = await openSmall(env);
    const opened: string[] = [];
    const open = env.files.open.bind(env.files);
    env.files.open = (path, options) => {
      if (path.endsWith('.seg')) opened.push(path);
      return open(path, options);
    };
    await write(engine, (tx) =>
      tx.put(DROPPED_STORE, Uint8Array.of(0, 0, 0, STORE), 0, 4, Uint8Array.of(0), 0, 1, false),
    );
    await within(5000, 'the checkpoint', engine.checkpoint());
    expect(opened.length).toBeLessThan(10);
    const reading = engine.begin('read');
    expect(keysOf(reading)).toEqual([]);
    expect(getText(reading, 'kept', STORE + 1)).toBe('1');
    await engine.close();
  });
});

describe('a cursor that outlives its database', () => {
  it('opens no file again', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    for (let from = 0; from < 6000; from += 500) {
      await write(engine, (tx) => {
        for (let i = from; i < from + 500; i++) put(tx, `key-${String(i).padStart(6, '0')}`, 'x'.repeat(100));
      });
    }
    await engine.close();
    engine = await openSmall(env, { cacheBytes: 64 * 1024 });
    const cursor = engine.begin('read').cursor(STORE);
    cursor.waits = true;
    expect(cursor.first()).toBe(1);
    const verify = engine.verify();
    await engine.close();
    expect(() => {
      while (cursor.next() === 1);
    }).toThrow(ClosedError);
    await expect(verify).rejects.toBeInstanceOf(ClosedError);
  });
});
