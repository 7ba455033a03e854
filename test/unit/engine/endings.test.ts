/** How transactions and databases end: listeners that throw, outcomes nobody knows, closing in the middle of it. */
import { describe, expect, it } from 'vitest';
import {
  ClosedError,
  ConflictError,
  DatabaseFailedError,
  OutcomeUnknownError,
  SnapshotTooOldError,
} from '../../../src/base/errors.ts';
import type { File } from '../../../src/env/env.ts';
import { ioError } from '../../../src/env/io-error.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { FIRST_BATCH_POSITION } from '../../../src/log/epoch-file.ts';
import { getText, keysOf, openSmall, put, putSeparate, within, write } from './small-engine.ts';

describe('a listener that throws', () => {
  it('keeps nobody from an answer', async () => {
    const errors: unknown[] = [];
    const engine = await openSmall(memoryEnv(), { onBackgroundError: (error) => errors.push(error) });
    const commits = Array.from({ length: 4 }, (_, i) => {
      const tx = engine.begin('write');
      put(tx, `key-${i}`, '1');
      if (i === 1) {
        tx.onCommit(() => {
          throw new Error('of the listener');
        });
      }
      return tx.commit();
    });
    await within(2000, 'the commits', Promise.all(commits));
    expect(errors).toHaveLength(1);
    const tx = engine.begin('write');
    tx.onRollback(() => {
      throw new Error('of the other listener');
    });
    tx.rollback();
    expect(errors).toHaveLength(2);
    await engine.close();
  });

  it('may even be the one that hears of errors', async () => {
    const engine = await openSmall(memoryEnv(), {
      onBackgroundError: () => {
        throw new Error('of the handler');
      },
    });
    const tx = engine.begin('write');
    tx.onCommit(() => {
      throw new Error('of the listener');
    });
    put(tx, 'a', '1');
    await within(2000, 'the commit', tx.commit());
    await engine.close();
  });
});

describe('a commit whose outcome nobody knows', () => {
  it('keeps the runs that it may have adopted', async () => {
    const env = memoryEnv();
    const { files } = env;
    const open = files.open.bind(files);
    let isBroken = false;
    files.open = (path, options): File => {
      if (isBroken && path.endsWith('.log')) throw ioError('open', path, 'EIO');
      const file = open(path, options);
      const { append } = file;
      // The bytes arrive, the answer does not.
      file.append = async (...job) => {
        const isZero = await append.apply(file, job);
        if (isBroken) throw ioError('append', path, 'EIO');
        return isZero;
      };
      return file;
    };
    let engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'before', '1'));
    const tx = engine.begin('write');
    for (let i = 0; i < 100; i++) put(tx, `key-${String(i).padStart(3, '0')}`, 'x'.repeat(1000));
    isBroken = true;
    await expect(tx.commit()).rejects.toBeInstanceOf(OutcomeUnknownError);
    await engine.close().catch(() => {});
    isBroken = false;
    engine = await openSmall(env);
    const reading = engine.begin('read');
    const found = keysOf(reading);
    expect([1, 101]).toContain(found.length);
    expect(await engine.resolve(tx.id)).toBe(found.length === 101 ? 'committed' : 'aborted');
    await engine.checkpoint();
    expect((await engine.verify()).problems).toEqual([]);
    await engine.close();
  });
});

describe('a log that fails for good', () => {
  it('leaves nothing unknown to who asked for a checkpoint', async () => {
    const env = memoryEnv();
    const { files } = env;
    const open = files.open.bind(files);
    let isBroken = false;
    files.open = (path, options): File => {
      if (isBroken && path.endsWith('.log') && options.mode !== 'create') throw ioError('open', path, 'EIO');
      const file = open(path, options);
      const { appendSync } = file;
      // The next epoch begins, and its root does not get through.
      file.appendSync = (...job): boolean => {
        if (isBroken && job[2] > FIRST_BATCH_POSITION) throw ioError('append', path, 'EIO');
        return appendSync.apply(file, job);
      };
      return file;
    };
    const engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'a', '1'));
    isBroken = true;
    await expect(engine.checkpoint()).rejects.toBeInstanceOf(DatabaseFailedError);
    await expect(write(engine, (tx) => put(tx, 'b', '1'))).rejects.toBeInstanceOf(DatabaseFailedError);
    isBroken = false;
    await engine.close().catch(() => {});
  });
});

describe('closing a database', () => {
  it('waits for a commit whose values are still being synced', async () => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    const tx = engine.begin('write');
    putSeparate(tx, 'large', new Uint8Array(200_000).fill(5));
    put(tx, 'small', '1');
    const commit = tx.commit();
    const close = engine.close();
    await within(2000, 'the commit', commit);
    await within(2000, 'the end', close);
    engine = await openSmall(env);
    expect(getText(engine.begin('read'), 'small')).toBe('1');
    await engine.close();
  });

  /**
   * A prepared transaction holds back one that has claimed what it reads, whose refusal ends its claim and so lets go those held
   * back by that. Closing went through a copy of who was held: it dealt with them twice, which committed them twice or was an
   * uncaught error that left the lock behind.
   */
  it.each([
    ['the claim', 'claimed', 'committed'],
    ['the prepared transaction', 'prepared', 'refused'],
  ])('ends those that are held back once each, also where one waits for the next: by %s', async (_, key, expected) => {
    const env = memoryEnv();
    let engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'claimed', '0'));
    const prepared = engine.begin('write');
    put(prepared, 'prepared', '1');
    await prepared.prepare();
    const lost = engine.begin('write');
    getText(lost, 'claimed');
    lost.rollback();
    const claimant = engine.begin('write', { claim: await engine.claim(lost) });
    put(claimant, 'prepared', '2');
    const other = engine.begin('write');
    put(other, key, '3');
    const ends = Promise.allSettled([claimant.commit(), other.commit()]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const begunMs = performance.now();
    await within(2000, 'the end', engine.close());
    expect(performance.now() - begunMs).toBeLessThan(150);
    const [first, second] = await ends;
    expect(first.status === 'rejected' && first.reason).toBeInstanceOf(ConflictError);
    if (expected === 'refused') expect(second.status === 'rejected' && second.reason).toBeInstanceOf(ConflictError);
    engine = await openSmall(env);
    const { snapshot } = engine.begin('read');
    // The first two numbers are those of the write and of what was prepared.
    expect(snapshot).toBe(expected === 'committed' ? 3 : 2);
    if (expected === 'committed') expect(second).toEqual({ status: 'fulfilled', value: snapshot });
    await engine.close();
  });

  it('takes no new transaction from who hears that his has ended, and is harmless to be called again by him', async () => {
    const engine = await openSmall();
    const tx = engine.begin('write');
    let again: unknown;
    let closed: Promise<void> | undefined;
    tx.onRollback(() => {
      closed = engine.close();
      try {
        engine.begin('write');
      } catch (error) {
        again = error;
      }
    });
    const closing = engine.close();
    expect(again).toBeInstanceOf(ClosedError);
    expect(closed).toBe(closing);
    await within(2000, 'the end', closing);
  });

  it('tells who waits for a checkpoint that it will not be', async () => {
    const engine = await openSmall(memoryEnv(), { tableBytes: 4 * 1024 * 1024 });
    for (let i = 0; i < 20; i++) await write(engine, (tx) => put(tx, `key-${i}`, 'x'));
    const checkpoint = engine.checkpoint();
    const close = engine.close();
    const answer = await within(
      3000,
      'an answer',
      checkpoint.then(
        () => 'done',
        (error: unknown) => error,
      ),
    );
    if (answer !== 'done') expect(answer).toBeInstanceOf(ClosedError);
    await within(3000, 'the end', close);
  });

  it('gives back every file and the lock, also where a file can not be removed', async () => {
    const env = memoryEnv();
    const { files } = env;
    const open = files.open.bind(files);
    const openFiles = new Set<File>();
    files.open = (path, options): File => {
      const file = open(path, options);
      const close = file.close.bind(file);
      openFiles.add(file);
      file.close = () => {
        openFiles.delete(file);
        close();
      };
      return file;
    };
    const remove = files.remove.bind(files);
    let engine = await openSmall(env);
    for (let i = 0; i < 5; i++) await write(engine, (tx) => putSeparate(tx, `key-${i}`, new Uint8Array(100_000)));
    await engine.checkpoint();
    expect(getText(engine.begin('read'), 'key-3')).toBeDefined();
    files.remove = (path) => {
      if (path.includes('/members/')) throw ioError('remove', path, 'EACCES');
      remove(path);
    };
    await engine.close().catch(() => {});
    expect([...openFiles].map((file) => file.path)).toEqual([]);
    files.remove = remove;
    engine = await openSmall(env);
    await engine.close();
    expect([...openFiles].map((file) => file.path)).toEqual([]);
  });
});

describe('one that loses as the last reader of what can be reclaimed', () => {
  it('ends once, and what it held goes', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env);
    const fill = (letter: string): Promise<number> =>
      write(engine, (tx) => {
        for (let i = 0; i < 40; i++) put(tx, `key-${i}`, letter.repeat(500));
      });
    await fill('a');
    await engine.checkpoint();
    const segments = (): string[] => env.files.list('/db/data').filter((name) => name.endsWith('.seg'));
    const old = segments();
    const losing = engine.begin('write');
    getText(losing, 'key-1');
    // Everything it reads is written anew: it alone keeps what was there.
    for (const letter of ['b', 'c']) {
      await fill(letter);
      await engine.compact();
    }
    const held = segments().filter((name) => old.includes(name));
    expect(held.length).toBeGreaterThan(0);
    let ends = 0;
    losing.onRollback(() => ends++);
    put(losing, 'key-1', 'x');
    await expect(losing.commit()).rejects.toBeInstanceOf(SnapshotTooOldError);
    await within(
      2000,
      'the reclaim',
      (async () => {
        while (segments().some((name) => held.includes(name))) await new Promise((resolve) => setTimeout(resolve, 1));
      })(),
    );
    expect(ends).toBe(1);
    await engine.close();
  });
});
