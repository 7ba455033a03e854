/** Locks between processes, and what must not drop them. */

import { closeSync, openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hasNativeModule, nodeEnv } from '../../../src/env/node-env.ts';
import { portableEnv } from '../../../src/env/portable-env.ts';
import { startProgram, temporaryFolder } from '../../helpers/native.ts';

const native = hasNativeModule();

test.skipIf(!native)(
  'a lock of another process stands in the way, is seen by readers, and dies with that process',
  async () => {
    using folder = temporaryFolder();
    const { files } = nodeEnv();
    const path = `${folder.path}/lock`;
    const mine = files.open(path, { mode: 'create' });
    const reader = files.open(path, { mode: 'read' });
    const other = startProgram('hold-lock', path);
    expect(await other.firstLine).toBe('held');
    expect(mine.tryLock('exclusive', 3)).toBe(false);
    expect(mine.tryLock('shared', 3)).toBe(false);
    expect(mine.tryLock('exclusive', 4)).toBe(true);
    expect(reader.isLockedByOther(3)).toBe(true);
    expect(mine.isLockedByOther(3)).toBe(true);
    other.kill();
    await other.ended;
    expect(reader.isLockedByOther(3)).toBe(false);
    expect(mine.tryLock('exclusive', 3)).toBe(true);
    mine.close();
    reader.close();
  },
);

test.skipIf(!native)(
  'closing unrelated descriptors of the same file leaves the lock in force for other processes',
  async () => {
    using folder = temporaryFolder();
    const { files } = nodeEnv();
    const path = `${folder.path}/lock`;
    const holder = files.open(path, { mode: 'create' });
    expect(holder.tryLock('exclusive', 3)).toBe(true);
    files.open(path, { mode: 'write' }).close();
    files.open(path, { mode: 'read', direct: true }).close();
    closeSync(openSync(path, 'r+'));
    const other = startProgram('hold-lock', path);
    await expect(other.firstLine).rejects.toThrow('without a word');
    expect((await other.ended).code).toBe(1);
    holder.close();
    const second = startProgram('hold-lock', path);
    expect(await second.firstLine).toBe('held');
    second.endInput();
    expect((await second.ended).code).toBe(0);
  },
  30_000,
);

test.skipIf(!native)('a direct file locks and is locked like any other', () => {
  using folder = temporaryFolder();
  const { files } = nodeEnv();
  const a = files.open(`${folder.path}/a`, { mode: 'create', direct: true });
  const b = files.open(`${folder.path}/a`, { mode: 'write', direct: true });
  expect(a.tryLock('exclusive', 0)).toBe(true);
  expect(b.tryLock('shared', 0)).toBe(false);
  a.close();
  expect(b.tryLock('shared', 0)).toBe(true);
  b.close();
});

test.skipIf(!native)('an exclusive lock is refused on a file opened for reading, a shared one is not', () => {
  using folder = temporaryFolder();
  const { files } = nodeEnv();
  files.open(`${folder.path}/a`, { mode: 'create' }).close();
  const reader = files.open(`${folder.path}/a`, { mode: 'read' });
  if (process.platform !== 'win32') expect(() => reader.tryLock('exclusive', 0)).toThrow(/EBADF/);
  expect(reader.tryLock('shared', 0)).toBe(true);
  reader.close();
});

test.skipIf(!native || process.platform !== 'linux')('without the native module the lock is still seen', () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/lock`;
  const holder = nodeEnv().files.open(path, { mode: 'create' });
  const reader = portableEnv().files.open(path, { mode: 'read' });
  expect(reader.isLockedByOther(5)).toBe(false);
  expect(holder.tryLock('shared', 5)).toBe(true);
  expect(reader.isLockedByOther(5)).toBe(false);
  expect(holder.tryLock('exclusive', 5)).toBe(true);
  expect(reader.isLockedByOther(5)).toBe(true);
  expect(reader.isLockedByOther(4)).toBe(false);
  holder.close();
  expect(reader.isLockedByOther(5)).toBe(false);
  reader.close();
});
