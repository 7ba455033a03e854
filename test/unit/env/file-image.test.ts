/** The persistent file image: forks never see each other's writes, and every operation agrees with an array. */

import { expect, test } from 'vitest';
import { FileImage } from '../../../src/env/file-image.ts';
import { SeededRandom } from '../../../src/env/simulated-random.ts';

const ROOM = 300 * 4096;

function bytesOf(image: FileImage): Uint8Array {
  const bytes = new Uint8Array(image.sizeBytes);
  expect(image.read(bytes, 0)).toBe(bytes.length);
  return bytes;
}

test('a fork and its original go separate ways', () => {
  const original = new FileImage();
  original.write(new Uint8Array(8192).fill(1), 0);
  const fork = original.fork();
  original.write(new Uint8Array(4096).fill(2), 0);
  fork.write(new Uint8Array(100).fill(3), 4096);
  expect(bytesOf(original)[0]).toBe(2);
  expect(bytesOf(original)[4096]).toBe(1);
  expect(bytesOf(fork)[0]).toBe(1);
  expect(bytesOf(fork)[4096]).toBe(3);
});

test('random writes, cuts, zeros, sector copies and forks agree with arrays', () => {
  const seed = Number(process.env.SOP_SEED ?? 3);
  const random = new SeededRandom(seed);
  const pool: { image: FileImage; model: Uint8Array }[] = [{ image: new FileImage(), model: new Uint8Array(ROOM) }];
  for (let i = 0; i < 1500; i++) {
    const target = random.pick(pool);
    const { image, model } = target;
    const at = random.below(ROOM - 20_000);
    const length = 1 + random.below(20_000);
    switch (random.below(5)) {
      case 0:
      case 1:
        image.write(new Uint8Array(length).fill(i), at);
        model.fill(i & 0xff, at, at + length);
        break;
      case 2:
        image.writeZeros(at, length);
        model.fill(0, at, at + length);
        break;
      case 3:
        image.setSize(at);
        model.fill(0, at);
        break;
      default:
        forkOrCopy(pool, target, Math.floor(at / 512), Math.floor(length / 512), random);
    }
  }
  for (const { image, model } of pool) {
    expect(Buffer.compare(bytesOf(image), model.subarray(0, image.sizeBytes)), `seed ${seed}`).toBe(0);
  }
});

function forkOrCopy(
  pool: { image: FileImage; model: Uint8Array }[],
  target: { image: FileImage; model: Uint8Array },
  first: number,
  count: number,
  random: SeededRandom,
): void {
  const { image, model } = target;
  if (random.chance(0.3) && pool.length < 8) {
    pool.push({ image: image.fork(), model: model.slice() });
    return;
  }
  const other = random.pick(pool);
  image.copySectors(other.image, first, first + count);
  model.set(other.model.subarray(first * 512, (first + count) * 512), first * 512);
  // Copying leaves the size alone; what lies behind it must stay zero, which is the caller's to see to.
  image.clearFrom(image.sizeBytes);
  model.fill(0, image.sizeBytes);
}
