/** Reading without the native module. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { NativeMissingError } from '../../../src/base/errors.ts';
import { listsExclusiveLock, portableEnv } from '../../../src/env/portable-env.ts';
import { temporaryFolder } from '../../helpers/native.ts';

test('files are read, listed and told about, and read at their end as they should be', async () => {
  using folder = temporaryFolder();
  writeFileSync(
    `${folder.path}/a`,
    Uint8Array.from({ length: 10_000 }, (_, i) => i & 0xff),
  );
  const { files } = portableEnv();
  expect(files.readOnly).toBe(true);
  expect(files.list(folder.path)).toEqual(['a']);
  expect(files.status(`${folder.path}/a`)).toEqual({ sizeBytes: 10_000, isFolder: false, links: 1 });
  expect(files.status(`${folder.path}/none`)).toBeUndefined();
  const file = files.open(`${folder.path}/a`, { mode: 'read', direct: true });
  expect(file.direct).toBe(false);
  const into = files.allocate(100);
  expect(file.readSync(into, 256)).toBe(100);
  expect(into[0]).toBe(0);
  expect(await file.read(into, 9_950)).toBe(50);
  expect(file.readSync(into, 20_000)).toBe(0);
  file.close();
  file.close();
  expect(() => file.readSync(into, 0)).toThrow(/EBADF/);
});

test('a missing file and a folder are refused as everywhere', () => {
  using folder = temporaryFolder();
  mkdirSync(`${folder.path}/sub`);
  const { files } = portableEnv();
  const errno = (name: string) => expect.objectContaining({ details: expect.objectContaining({ errno: name }) });
  expect(() => files.open(`${folder.path}/none`, { mode: 'read' })).toThrow(errno('ENOENT'));
  expect(() => files.open(`${folder.path}/sub`, { mode: 'read' })).toThrow(errno('EISDIR'));
  expect(() => files.list(`${folder.path}/none`)).toThrow(errno('ENOENT'));
});

test('whatever would write names the platform and what to do', async () => {
  using folder = temporaryFolder();
  writeFileSync(`${folder.path}/a`, 'x');
  const { files } = portableEnv();
  expect(() => files.open(`${folder.path}/b`, { mode: 'create' })).toThrow(NativeMissingError);
  expect(() => files.open(`${folder.path}/a`, { mode: 'write' })).toThrow(`${process.platform}-${process.arch}`);
  expect(() => files.remove(`${folder.path}/a`)).toThrow(NativeMissingError);
  expect(() => files.createFolder(`${folder.path}/c`)).toThrow(NativeMissingError);
  await expect(files.copy(`${folder.path}/a`, `${folder.path}/b`)).rejects.toThrow(NativeMissingError);
  const file = files.open(`${folder.path}/a`, { mode: 'read' });
  expect(() => file.writeSync(new Uint8Array(1), 0)).toThrow(NativeMissingError);
  await expect(file.write(new Uint8Array(1), 0)).rejects.toThrow(NativeMissingError);
  expect(() => file.tryLock('shared', 0)).toThrow(NativeMissingError);
  file.close();
  expect(files.list(folder.path)).toEqual(['a']);
});

test('the list of locks is understood', () => {
  const listing = `1: FLOCK  ADVISORY  WRITE 5130 fe:00:77 0 EOF
2: OFDLCK ADVISORY  WRITE -1 fe:00:1234 3 3
3: OFDLCK ADVISORY  READ -1 fe:00:1234 9 9
4: POSIX  ADVISORY  WRITE 88 00:2f:99 10 EOF
4: -> POSIX  ADVISORY  WRITE 89 00:2f:55 10 EOF
`;
  expect(listsExclusiveLock(listing, 1234n, 3)).toBe(true);
  expect(listsExclusiveLock(listing, 1234n, 2)).toBe(false);
  expect(listsExclusiveLock(listing, 1234n, 9)).toBe(false);
  expect(listsExclusiveLock(listing, 99n, 1_000_000)).toBe(true);
  expect(listsExclusiveLock(listing, 99n, 9)).toBe(false);
  expect(listsExclusiveLock(listing, 77n, 0)).toBe(false);
});
