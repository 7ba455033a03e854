/** What a commit is refused for, and what it is not. */
import { describe, expect, it } from 'vitest';
import { ConflictError } from '../../../src/base/errors.ts';
import { getText, openSmall, put, within, write } from './small-engine.ts';

describe('a long write transaction', () => {
  it('commits after a checkpoint that came in between, though others ended meanwhile', async () => {
    const engine = await openSmall();
    await write(engine, (tx) => put(tx, 'a', '1'));
    const long = engine.begin('write');
    expect(getText(long, 'a')).toBe('1');
    await engine.checkpoint();
    engine.begin('read').rollback();
    put(long, 'b', '2');
    await within(2000, 'the commit', long.commit());
    await engine.close();
  });

  it('commits after compaction rounds that had nothing to merge', async () => {
    const engine = await openSmall();
    await write(engine, (tx) => put(tx, 'a', '1'));
    const long = engine.begin('write');
    expect(getText(long, 'a')).toBe('1');
    await write(engine, (tx) => put(tx, 'other', '1'));
    for (let round = 0; round < 3; round++) await engine.compact();
    put(long, 'b', '2');
    await within(2000, 'the commit', long.commit());
    await engine.close();
  });

  it('is refused for a change that a checkpoint has merged since', async () => {
    const engine = await openSmall();
    await write(engine, (tx) => put(tx, 'a', '1'));
    const long = engine.begin('write');
    expect(getText(long, 'a')).toBe('1');
    await write(engine, (tx) => put(tx, 'a', '2'));
    await engine.checkpoint();
    await engine.compact();
    engine.begin('read').rollback();
    put(long, 'b', '2');
    await expect(long.commit()).rejects.toBeInstanceOf(ConflictError);
    await engine.close();
  });
});

describe('beginning with a signal that was aborted before', () => {
  it('is refused and leaves nothing behind, not even the time limit', async () => {
    const engine = await openSmall();
    await write(engine, (tx) => put(tx, 'a', 'old'));
    const reading = engine.begin('read');
    for (let i = 0; i < 3; i++) {
      expect(() => engine.begin('write', { timeoutMs: 1, signal: AbortSignal.abort() })).toThrow(/aborted/);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    // Were the view of `reading` taken for unused, its tables would be used again by now.
    for (let round = 0; round < 6; round++) {
      await write(engine, (tx) => put(tx, 'a', `new ${round}`));
      await engine.checkpoint();
    }
    expect(getText(reading, 'a')).toBe('old');
    expect(engine.stats().openTransactions).toBe(1);
    await engine.close();
  });
});
