/** Direct I/O: where it is granted, where it is refused, and what it asks of its callers. */

import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hasNativeModule, nodeEnv } from '../../../src/env/node-env.ts';
import { PAGE, startProgram, temporaryFolder } from '../../helpers/native.ts';

const native = hasNativeModule();

/** Whether the temporary folder takes direct I/O at all; some containers keep it in memory. */
function directHere(): boolean {
  if (!native) return false;
  using folder = temporaryFolder();
  const file = nodeEnv().files.open(`${folder.path}/probe`, { mode: 'create', direct: true });
  const direct = file.direct;
  file.close();
  return direct;
}

test.skipIf(!native)('allocated buffers are aligned, zeroed and as long as asked', () => {
  const { files } = nodeEnv();
  using folder = temporaryFolder();
  const file = files.open(`${folder.path}/a`, { mode: 'create', direct: true });
  for (const size of [PAGE, 3 * PAGE, 1 << 20, (1 << 21) + PAGE, 8 << 20]) {
    const buffer = files.allocate(size);
    expect(buffer.length).toBe(size);
    expect(buffer.every((byte) => byte === 0)).toBe(true);
    buffer[size - 1] = 1;
    file.writeSync(buffer, 0);
  }
  expect(files.allocate(0).length).toBe(0);
  expect(files.allocate(5).length).toBe(5);
  file.close();
});

test.skipIf(!directHere())('a direct file refuses what is not aligned, and says so', async () => {
  using folder = temporaryFolder();
  const { files } = nodeEnv();
  const file = files.open(`${folder.path}/a`, { mode: 'create', direct: true });
  const buffer = files.allocate(2 * PAGE);
  const crooked = buffer.subarray(1, 1 + PAGE);
  expect(() => file.writeSync(crooked, 0)).toThrow(/EINVAL/);
  expect(() => file.writeSync(buffer.subarray(0, 100), 0)).toThrow(/EINVAL/);
  expect(() => file.writeSync(buffer, 512)).toThrow(/EINVAL/);
  expect(() => file.readSync(crooked, 0)).toThrow(/EINVAL/);
  expect(() => file.appendSync(buffer, 100, 2 * PAGE, PAGE)).toThrow(/EINVAL/);
  await expect(file.append(buffer, PAGE, 100, PAGE)).rejects.toThrow(/EINVAL/);
  await expect(file.reserve(100, PAGE)).rejects.toThrow(/EINVAL/);
  expect(file.direct).toBe(true);
  expect(file.sizeBytes()).toBe(0);
  file.close();
});

test.skipIf(!directHere())('a direct read stops at the end of a file that ends inside a block', async () => {
  using folder = temporaryFolder();
  const { files } = nodeEnv();
  writeFileSync(`${folder.path}/a`, new Uint8Array(2 * PAGE + 77).fill(9));
  const file = files.open(`${folder.path}/a`, { mode: 'read', direct: true });
  const buffer = files.allocate(4 * PAGE);
  expect(file.readSync(buffer, 0)).toBe(2 * PAGE + 77);
  expect(buffer[2 * PAGE + 76]).toBe(9);
  expect(buffer[2 * PAGE + 77]).toBe(0);
  expect(await file.read(buffer, 2 * PAGE)).toBe(77);
  expect(file.readSync(buffer, 3 * PAGE)).toBe(0);
  file.close();
});

test.skipIf(!directHere())(
  'a seal set by another opening is seen by a direct append, whichever way it was written',
  () => {
    for (const direct of [false, true]) {
      using folder = temporaryFolder();
      const { files } = nodeEnv();
      const log = files.open(`${folder.path}/log`, { mode: 'create', direct: true });
      const batch = files.allocate(PAGE).fill(1);
      expect(log.appendSync(batch, PAGE, 2 * PAGE, PAGE)).toBe(true);
      const taker = files.open(`${folder.path}/log`, { mode: 'write', direct });
      taker.writeSync(batch, PAGE);
      expect(log.appendSync(batch, PAGE, 3 * PAGE, PAGE)).toBe(false);
      log.close();
      taker.close();
    }
  },
);

test.skipIf(!native || !existsSync('/dev/shm'))(
  'a file system in memory gives a buffered file without an error',
  async () => {
    using folder = temporaryFolder('/dev/shm');
    const { files } = nodeEnv();
    const file = files.open(`${folder.path}/a`, { mode: 'create', direct: true });
    expect(file.direct).toBe(false);
    file.writeSync(new Uint8Array(100).fill(3), 50);
    expect(file.appendSync(new Uint8Array(PAGE), PAGE, 2 * PAGE, PAGE)).toBe(true);
    await file.reserve(3 * PAGE, 8 * PAGE);
    file.allocateSync(0, 16 * PAGE);
    await files.syncFolder(folder.path);
    file.close();
  },
);

/** Every direct transfer is refused, after a moment in which others begin theirs. */
const REFUSING = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
static int refused(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || !(flags & O_DIRECT)) return 0;
  usleep(20000);
  errno = EINVAL;
  return 1;
}
#define SHIM(name, bytes) \\
  ssize_t name(int fd, bytes b, size_t n, off_t o) { \\
    ssize_t (*real)(int, bytes, size_t, off_t) = dlsym(RTLD_NEXT, #name); \\
    return refused(fd) ? -1 : real(fd, b, n, o); \\
  }
SHIM(pread, void *)
SHIM(pread64, void *)
SHIM(pwrite, const void *)
SHIM(pwrite64, const void *)
`;

/** The library that refuses, or undefined where there is no compiler. */
function refusingLibrary(folder: string): string | undefined {
  writeFileSync(`${folder}/refusing.c`, REFUSING);
  const library = `${folder}/refusing.so`;
  const { status } = spawnSync('cc', ['-shared', '-fPIC', '-o', library, `${folder}/refusing.c`, '-ldl']);
  return status === 0 ? library : undefined;
}

// Two transfers that were both refused raced for the fall back to buffered I/O: who came second saw that it was done already,
// took its own refusal for another reason and failed.
test.skipIf(!directHere() || process.platform !== 'linux')(
  'transfers side by side go on where the file system refuses the first direct ones',
  async (context) => {
    using folder = temporaryFolder();
    const library = refusingLibrary(folder.path);
    if (library === undefined) return context.skip('no C compiler');
    const program = startProgram('transfer-together', `${folder.path}/file`, { LD_PRELOAD: library });
    expect((await program.ended).code).toBe(0);
    expect(await program.output).toBe('true false 1234\n'.repeat(5));
  },
);
