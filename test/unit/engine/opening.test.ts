/** Opening: what it makes durable, and what it gives back where it fails. */
import { describe, expect, it } from 'vitest';
import { CorruptionError, InvalidArgumentError } from '../../../src/base/errors.ts';
import type { Env, File } from '../../../src/env/env.ts';
import { memoryEnv } from '../../../src/env/memory-env.ts';
import { FOLDER, getText, openSmall, put, write } from './small-engine.ts';

function watchFiles(env: Env): Set<File> {
  const openFiles = new Set<File>();
  const open = env.files.open.bind(env.files);
  env.files.open = (path, options): File => {
    const file = open(path, options);
    const close = file.close.bind(file);
    openFiles.add(file);
    file.close = () => {
      openFiles.delete(file);
      close();
    };
    return file;
  };
  return openFiles;
}

const paths = (files: Set<File>): string[] => [...files].map((file) => file.path);

describe('opening for writing', () => {
  it('makes the names of a database durable that its creator may not have, before anything is acknowledged', async () => {
    const env = memoryEnv();
    await (await openSmall(env)).close();
    const synced: string[] = [];
    const { files } = env;
    const sync = files.syncFolderSync.bind(files);
    files.syncFolderSync = (path) => {
      synced.push(path);
      sync(path);
    };
    const engine = await openSmall(env);
    expect(synced).toContain(FOLDER);
    expect(synced).toContain('/');
    await engine.close();
  });

  it('gives back files, lock and name where the data are damaged', async () => {
    const env = memoryEnv();
    const engine = await openSmall(env);
    await write(engine, (tx) => put(tx, 'a', '1'));
    await engine.checkpoint();
    await write(engine, (tx) => put(tx, 'b', '1'));
    await engine.close();
    const openFiles = watchFiles(env);
    for (const name of env.files.list(`${FOLDER}/data`)) {
      const file = env.files.open(`${FOLDER}/data/${name}`, { mode: 'write' });
      file.writeSync(new Uint8Array(8192).fill(0xee), 4096);
      file.close();
    }
    for (let round = 0; round < 3; round++) {
      for (const readOnly of [false, true]) {
        const opening = openSmall(env, { readOnly });
        await expect(opening).rejects.toBeInstanceOf(CorruptionError);
        expect(paths(openFiles)).toEqual([]);
        expect(env.files.list(`${FOLDER}/members`)).toEqual([]);
      }
    }
  });

  it('leaves no file open after a life of writing, reading, compacting', async () => {
    const env = memoryEnv();
    const openFiles = watchFiles(env);
    for (let round = 0; round < 3; round++) {
      const engine = await openSmall(env);
      for (let i = 0; i < 30; i++) await write(engine, (tx) => put(tx, `key-${i}`, 'x'.repeat(3000)));
      await engine.compact();
      expect(getText(engine.begin('read'), 'key-7')).toBeDefined();
      await engine.close();
      expect(paths(openFiles)).toEqual([]);
    }
  });

  it('refuses to resolve ids that no transaction was given yet, so that an answer is one for ever', async () => {
    const engine = await openSmall();
    const tx = engine.begin('write');
    put(tx, 'a', '1');
    const [writer, counter] = tx.id.split('-') as [string, string];
    const next = `${writer}-${Number(counter) + 1}`;
    await expect(engine.resolve(next)).rejects.toBeInstanceOf(InvalidArgumentError);
    await tx.commit();
    expect(await engine.resolve(tx.id)).toBe('committed');
    await engine.close();
  });
});
