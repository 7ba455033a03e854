/** What is logged, at which level, and what never is above debug. Slow disks and failed logs are told. */
import { expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../src/base/errors.ts';
import type { Env } from '../../../src/env/env.ts';
import { ioError } from '../../../src/env/io-error.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { Database } from '../../../src/store/database.ts';
import { defineStore } from '../../../src/store/define-store.ts';
import type { Logger, LogLevel } from '../../../src/store/logger.ts';
import { type } from '../../../src/store/standard-schema.ts';
import type { RecoveredEvent, SlowEvent } from '../../../src/transaction/engine-events.ts';

const texts = defineStore<string, string>('texts');

interface Line {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

function recorder(): { readonly lines: Line[]; readonly logger: Logger } {
  const lines: Line[] = [];
  const at = (level: LogLevel) => (message: string, fields: object) =>
    void lines.push({ level, message, fields: fields as Record<string, unknown> });
  return { lines, logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

const writeOne = (db: Database, key = 'a') => db.write((tx) => void tx.store(texts).put(key, 'x'));

it('opening, checkpoints and closing are logged, with the database they are of', async () => {
  const { lines, logger } = recorder();
  const db = await Database.memory({ logger });
  await writeOne(db);
  await db.checkpoint();
  await db.close();
  expect(lines.map(({ level, message }) => [level, message])).toEqual([
    ['info', 'sop: database opened'],
    ['debug', 'sop: checkpoint'],
    ['debug', 'sop: checkpoint'],
    ['info', 'sop: database closed'],
  ]);
  expect(lines.every(({ fields }) => fields.database === db.folder)).toBe(true);
});

it('a logger may lack levels, and what it throws is told', async () => {
  const errors: unknown[] = [];
  const problem = new Error('the log is full');
  const logger = {
    info() {
      throw problem;
    },
  };
  const db = await Database.memory({ logger, onBackgroundError: (error) => errors.push(error) });
  await writeOne(db);
  await db.checkpoint();
  await db.close();
  expect(errors).toEqual([problem, problem]);
});

it('the console is a logger; what is none is refused', async () => {
  await (await Database.memory({ logger: { error: console.error } })).close();
  await expect(Database.memory({ logger: 5 as never })).rejects.toThrow(InvalidArgumentError);
  await expect(Database.memory({ logger: { warn: 'yes' } as never })).rejects.toThrow(InvalidArgumentError);
  await expect(Database.memory({ slowMs: 0 })).rejects.toThrow(InvalidArgumentError);
});

it('keys and values are in no line above debug', async () => {
  const { lines, logger } = recorder();
  const db = await Database.memory({ logger });
  const plain = { keySchema: type<string>(), value: type<{ code: string }>() };
  await db.write((tx) => {
    const store = tx.store(defineStore('codes', plain));
    store.put('secret-key-1', { code: 'secret-value' });
    store.put('secret-key-2', { code: 'secret-value' });
  });
  const unique = defineStore('codes', { ...plain, indexes: { code: { fields: ['code'], unique: true } } });
  await expect(db.indexReady(unique, 'code')).rejects.toThrow('secret');
  expect(db.stats().indexBuilds).toMatchObject({ started: 1, ready: 0, failed: 1 });
  db.on('checkpoint', () => {
    throw new Error('about secret-key-1');
  });
  await db.checkpoint();
  await db.close();
  const loud = lines.filter(({ level }) => level !== 'debug');
  expect(loud.map(({ message }) => message)).toContain('sop: index can not be built');
  expect(loud.map(({ message }) => message)).toContain('sop: background error');
  expect(JSON.stringify(loud)).not.toContain('secret');
  const quiet = lines.filter(({ level }) => level === 'debug');
  expect(quiet.some(({ fields }) => String(fields.problem).includes('secret-key'))).toBe(true);
});

/** A disk whose next log append does what it is told to. */
function trickyDisk(): { readonly env: Env; next: (() => void) | undefined; nowMs: number } {
  const disk = { env: memoryEnv({ clock: { wallMs: () => 0, monotonicMs: () => disk.nowMs } }), nowMs: 0 } as {
    env: Env;
    next: (() => void) | undefined;
    nowMs: number;
  };
  const { files } = disk.env;
  const open = files.open.bind(files);
  files.open = (path, options) => {
    const file = open(path, options);
    const appendSync = file.appendSync.bind(file);
    file.appendSync = (...args) => {
      const { next } = disk;
      disk.next = undefined;
      next?.();
      return appendSync(...args);
    };
    return file;
  };
  return disk;
}

it('a slow disk is told, as an event and as a warning', async () => {
  const disk = trickyDisk();
  const { lines, logger } = recorder();
  const db = await Database.openWith(disk.env, { folder: 'db', logger, slowMs: 300 });
  const slow: SlowEvent[] = [];
  db.on('slow', (event) => slow.push(event));
  await writeOne(db);
  disk.next = () => {
    disk.nowMs += 299;
  };
  await writeOne(db);
  expect(slow).toEqual([]);
  disk.next = () => {
    disk.nowMs += 400;
  };
  await writeOne(db);
  const { number, log } = db.stats();
  expect(slow).toEqual([{ what: 'sync', ms: 400, transactions: 1, bytes: 4096, number }]);
  expect(log).toMatchObject({ slow: 1, longestSyncMs: 400, lastSyncMs: 400 });
  expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([{ message: 'sop: slow', fields: { ms: 400 } }]);
  await db.close();
});

it('a log opened anew after a failed append is told', async () => {
  const disk = trickyDisk();
  const { lines, logger } = recorder();
  const db = await Database.openWith(disk.env, { folder: 'db', logger });
  await writeOne(db);
  const told: RecoveredEvent[] = [];
  db.on('recovered', (event) => told.push(event));
  const { epoch } = db.stats();
  disk.next = () => {
    disk.nowMs += 5;
    throw ioError('write', 'log', 'EIO');
  };
  await expect(writeOne(db)).rejects.toThrow();
  await writeOne(db, 'b');
  expect(told).toMatchObject([{ cause: { code: 'DATABASE_FAILED' }, epoch }]);
  expect(db.stats().epoch).toBeGreaterThan(epoch);
  expect(db.stats().log.recoveries).toBe(1);
  const warned = lines.filter(({ level }) => level === 'warn');
  expect(warned).toMatchObject([{ message: 'sop: log opened anew', fields: { code: 'DATABASE_FAILED' } }]);
  await db.close();
});
