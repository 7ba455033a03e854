/** Tables that fill up faster than they are merged, transactions larger than a table, runs without number. */
import { describe, expect, it } from 'vitest';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { FOLDER, getText, keysOf, openSmall, put, STORE, within, write } from './small-engine.ts';

const VALUE = 'x'.repeat(1500);

describe('an engine whose memory table is full', () => {
  it('goes on when the next table fills up while the last one is being merged', async () => {
    const engine = await openSmall();
    let written = 0;
    const client = async (id: number): Promise<void> => {
      for (let i = 0; i < 60; i++, written++) await write(engine, (tx) => put(tx, `key-${id}-${i}`, VALUE));
    };
    await within(20_000, 'the last commit', Promise.all(Array.from({ length: 40 }, (_, id) => client(id))));
    expect(written).toBe(2400);
    const tx = engine.begin('read');
    expect(keysOf(tx)).toHaveLength(2400);
    await engine.close();
  }, 30_000);

  it('takes a transaction that is larger than a table, spread over many stores', async () => {
    const engine = await openSmall();
    const tx = engine.begin('write');
    for (let store = STORE; store < STORE + 80; store++) put(tx, 'key', VALUE, store);
    await within(5000, 'the commit', tx.commit());
    const reading = engine.begin('read');
    for (let store = STORE; store < STORE + 80; store++) expect(getText(reading, 'key', store)).toBe(VALUE);
    await engine.close();
  });

  it('takes a transaction whose range removals are more than a table holds', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'b-00500-x', 'gone'));
    const tx = engine.begin('write');
    for (let i = 0; i < 2500; i++) {
      const lower = new TextEncoder().encode(`b-${String(i).padStart(5, '0')}`);
      const upper = new TextEncoder().encode(`b-${String(i).padStart(5, '0')}-y`);
      tx.removeRange(STORE, lower, upper);
    }
    await within(5000, 'the commit', tx.commit());
    expect(getText(engine.begin('read'), 'b-00500-x')).toBeUndefined();
    await engine.close();
    engine = await openSmall(env);
    expect(getText(engine.begin('read'), 'b-00500-x')).toBeUndefined();
    await engine.close();
  });

  it('reads, merges and opens again with more runs than a cursor has layers', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env, { tableBytes: 512 * 1024 });
    const rounds = 45;
    for (let round = 0; round < rounds; round++) {
      const tx = engine.begin('write');
      // A little more than the bound, so that next to nothing is left for the table.
      for (let i = 0; i < 85; i++) put(tx, `key-${String(i).padStart(3, '0')}-${round % 7}`, `${round}-${VALUE}`);
      await tx.commit();
    }
    const expected = (key: number, kind: number): string => {
      for (let round = rounds - 1; ; round--) if (round % 7 === kind && key < 85) return `${round}-${VALUE}`;
    };
    const reading = engine.begin('read');
    expect(keysOf(reading)).toHaveLength(85 * 7);
    expect(getText(reading, 'key-033-4')).toBe(expected(33, 4));
    await engine.close();
    engine = await openSmall(env, { tableBytes: 512 * 1024 });
    await within(10_000, 'the checkpoint', engine.checkpoint());
    const again = engine.begin('read');
    expect(keysOf(again)).toHaveLength(85 * 7);
    for (let kind = 0; kind < 7; kind++) expect(getText(again, `key-033-${kind}`)).toBe(expected(33, kind));
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
    expect(env.files.list(`${FOLDER}/data`).length).toBeLessThan(10);
  }, 20_000);
});
