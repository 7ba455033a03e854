/** The log's one job: order, seals, failures and the thread it runs on. */

import { afterAll, expect, test } from 'vitest';
import { DiskFullError } from '../../../src/base/errors.ts';
import type { File } from '../../../src/env/env.ts';
import { hasNativeModule, nodeEnv } from '../../../src/env/node-env.ts';
import { PAGE, startProgram, temporaryFolder, tinyVolume } from '../../helpers/native.ts';

const native = hasNativeModule();
/** Beyond what any file system holds in one file. */
const TOO_FAR = 2 ** 53 - PAGE;

function logIn(folder: string): File {
  return nodeEnv().files.open(`${folder}/log`, { mode: 'create', direct: true });
}

function page(value: number): Uint8Array {
  return nodeEnv().files.allocate(PAGE).fill(value);
}

function firstByteAt(file: File, position: number): number | undefined {
  const into = nodeEnv().files.allocate(PAGE);
  return file.readSync(into, position) === 0 ? undefined : into[0];
}

test.skipIf(!native)('hundreds of appends under way are all written, and answered in the order given', async () => {
  using folder = temporaryFolder();
  const file = logIn(folder.path);
  const order: number[] = [];
  const buffers = Array.from({ length: 600 }, (_, i) => page(i & 0xff));
  await Promise.all(
    buffers.map(async (buffer, i) => {
      expect(await file.append(buffer, PAGE, (2 + i) * PAGE, PAGE)).toBe(true);
      order.push(i);
    }),
  );
  expect(order).toEqual(buffers.map((_, i) => i));
  for (let i = 0; i < 600; i++) expect(firstByteAt(file, (2 + i) * PAGE)).toBe(i & 0xff);
  file.close();
});

test.skipIf(!native)('appends of several files go on side by side', async () => {
  using folder = temporaryFolder();
  const { files } = nodeEnv();
  const logs = [0, 1, 2].map((i) => files.open(`${folder.path}/log${i}`, { mode: 'create' }));
  const answers = logs.flatMap((log) => [2, 3, 4].map((at) => log.append(page(at), PAGE, at * PAGE, PAGE)));
  expect(await Promise.all(answers)).toEqual(answers.map(() => true));
  for (const log of logs) log.close();
});

test.skipIf(!native)('a blocking append waits for those that were given before it', async () => {
  using folder = temporaryFolder();
  const file = logIn(folder.path);
  const before = [0, 1, 2].map((i) => file.append(page(i + 1), PAGE, (2 + i) * PAGE, PAGE));
  expect(file.appendSync(page(9), PAGE, 4 * PAGE, PAGE)).toBe(true);
  expect(firstByteAt(file, 2 * PAGE)).toBe(1);
  expect(firstByteAt(file, 4 * PAGE)).toBe(9);
  expect(await Promise.all(before)).toEqual([true, true, true]);
  file.close();
});

test.skipIf(!native)('after a failed append those behind it fail unwritten, and later ones work again', async () => {
  using folder = temporaryFolder();
  const file = logIn(folder.path);
  const first = file.append(page(1), PAGE, 2 * PAGE, PAGE);
  const failing = file.append(page(2), PAGE, TOO_FAR, PAGE);
  const behind = [3, 4, 5].map((i) => file.append(page(i), PAGE, i * PAGE, PAGE));
  expect(() => file.appendSync(page(6), PAGE, 6 * PAGE, PAGE)).toThrow(/append \(write\)/);
  const outcomes = await Promise.allSettled([first, failing, ...behind]);
  expect(outcomes.map((outcome) => outcome.status)).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'rejected',
    'rejected',
  ]);
  for (const at of [3, 4, 5, 6]) expect(firstByteAt(file, at * PAGE)).toBeUndefined();
  expect(await file.append(page(7), PAGE, 3 * PAGE, PAGE)).toBe(true);
  expect(file.appendSync(page(8), PAGE, 4 * PAGE, PAGE)).toBe(true);
  expect(firstByteAt(file, 3 * PAGE)).toBe(7);
  file.close();
});

test.skipIf(!native)('a seal behind the end of the file counts as zero', () => {
  using folder = temporaryFolder();
  const file = nodeEnv().files.open(`${folder.path}/log`, { mode: 'create' });
  expect(file.appendSync(page(1), PAGE, 0, 8 * PAGE)).toBe(true);
  file.close();
});

test.skipIf(!native)('a close with appends under way finishes them and answers', async () => {
  using folder = temporaryFolder();
  const file = logIn(folder.path);
  const answers = [2, 3, 4].map((at) => file.append(page(at), PAGE, at * PAGE, PAGE));
  const read = file.read(page(0), 0);
  file.close();
  expect(await Promise.all(answers)).toEqual([true, true, true]);
  expect(typeof (await read)).toBe('number');
  await expect(file.append(page(1), PAGE, 2 * PAGE, PAGE)).rejects.toThrow(/EBADF/);
  expect(() => file.appendSync(page(1), PAGE, 2 * PAGE, PAGE)).toThrow(/EBADF/);
});

test.skipIf(!native)(
  'lengths and positions outside the buffer or below zero are refused before anything is written',
  async () => {
    using folder = temporaryFolder();
    const file = logIn(folder.path);
    const buffer = page(1);
    expect(() => file.appendSync(buffer, 2 * PAGE, 2 * PAGE, PAGE)).toThrow(RangeError);
    expect(() => file.appendSync(buffer, -1, 2 * PAGE, PAGE)).toThrow(RangeError);
    expect(() => file.appendSync(buffer, PAGE, -PAGE, PAGE)).toThrow(RangeError);
    expect(() => file.appendSync(buffer, PAGE, 2 * PAGE, Number.NaN)).toThrow(RangeError);
    expect(() => file.readSync(buffer, 0.5)).toThrow(RangeError);
    expect(() => file.readSync('text' as unknown as Uint8Array, 0)).toThrow(TypeError);
    await expect(file.append(buffer, 2 * PAGE, 2 * PAGE, PAGE)).rejects.toThrow(RangeError);
    await expect(file.write(buffer, 2 ** 60)).rejects.toThrow(RangeError);
    expect(file.sizeBytes()).toBe(0);
    expect(file.appendSync(buffer, PAGE, 2 * PAGE, PAGE)).toBe(true);
    file.close();
  },
);

test.skipIf(!native)('a process stays for the answer of an append and ends after it', async () => {
  using folder = temporaryFolder();
  const program = startProgram('append-alone', `${folder.path}/log`);
  expect((await program.ended).code).toBe(0);
  expect(await program.output).toBe('answered true\n');
});

const volume = native && process.platform === 'linux' ? tinyVolume(1 << 20) : undefined;
afterAll(() => volume?.[Symbol.dispose]());

test.skipIf(volume === undefined)(
  'a full disk is DiskFullError in every call that needs space (needs the right to mount)',
  async () => {
    const { files } = nodeEnv();
    const folder = volume?.path as string;
    const file = files.open(`${folder}/a`, { mode: 'create' });
    const full = expect.objectContaining({ code: 'DISK_FULL', details: expect.objectContaining({ errno: 'ENOSPC' }) });
    const big = new Uint8Array(2 << 20);
    await expect(file.reserve(0, 2 << 20)).rejects.toEqual(full);
    expect(() => file.allocateSync(0, 2 << 20)).toThrow(DiskFullError);
    expect(() => file.writeSync(big, 0)).toThrow(DiskFullError);
    await expect(file.write(big, 0)).rejects.toEqual(full);
    expect(() => file.appendSync(big, big.length, 2 * PAGE, PAGE)).toThrow(DiskFullError);
    await expect(file.append(big, big.length, 2 * PAGE, PAGE)).rejects.toEqual(full);
    file.truncateSync(0);
    await file.reserve(0, 16 * PAGE);
    expect(await file.append(page(1), PAGE, 2 * PAGE, PAGE)).toBe(true);
    expect(files.freeBytes(folder)).toBe((1 << 20) - 16 * PAGE);
    file.close();
  },
);
