/** CRC32C: one figure, whoever computes it. */

import { expect, test } from 'vitest';
import { crc32c, portableCrc32c } from '../../../src/base/checksum.ts';
import { loadAddon } from '../../../src/env/addon.ts';
import { nodeEnv } from '../../../src/env/node-env.ts';

const addon = loadAddon();

function bytesOf(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0, state = seed; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

test.skipIf(addon === undefined)('the published check values come out', () => {
  const digits = new TextEncoder().encode('123456789');
  expect(addon?.crc32c(digits, 0, 9, 0)).toBe(0xe3069283);
  expect(addon?.crc32cPortable(digits, 0, 9, 0)).toBe(0xe3069283);
  expect(addon?.crc32c(new Uint8Array(32), 0, 32, 0)).toBe(0x8a9136aa);
  expect(addon?.crc32c(new Uint8Array(32).fill(255), 0, 32, 0)).toBe(0x62a8ab43);
});

test.skipIf(addon === undefined)(
  'instruction, native tables and JavaScript agree at every length, place and seed',
  () => {
    const bytes = bytesOf(70_000, 42);
    const lengths = [0, 1, 7, 8, 9, 63, 383, 384, 385, 4079, 4080, 4081, 4096, 8160, 8192, 12_345, 65_536];
    for (const length of lengths) {
      for (const start of [0, 1, 3, 8, 4097]) {
        for (const seed of [0, 1, 0xffffffff]) {
          const expected = portableCrc32c(bytes, start, start + length, seed);
          expect(addon?.crc32c(bytes, start, start + length, seed)).toBe(expected);
          expect(addon?.crc32cPortable(bytes, start, start + length, seed)).toBe(expected);
        }
      }
    }
  },
);

test.skipIf(addon === undefined)('a checksum may be continued, and the installed form is the same', () => {
  nodeEnv();
  const bytes = bytesOf(10_000, 7);
  const whole = crc32c(bytes);
  for (const cut of [1, 50, 64, 4096, 9999]) {
    expect(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut))).toBe(whole);
  }
  expect(whole).toBe(portableCrc32c(bytes, 0, bytes.length, 0));
});

test.skipIf(addon === undefined)('a range outside the buffer is refused', () => {
  const bytes = new Uint8Array(10);
  expect(() => addon?.crc32c(bytes, 0, 11, 0)).toThrow(RangeError);
  expect(() => addon?.crc32c(bytes, 5, 4, 0)).toThrow(RangeError);
  expect(() => addon?.crc32c(bytes, -1, 4, 0)).toThrow(RangeError);
});

test.skipIf(addon === undefined)('random bytes differ and fill all of the buffer', () => {
  const a = new Uint8Array(1000);
  const b = new Uint8Array(1000);
  nodeEnv().random.fill(a);
  nodeEnv().random.fill(b);
  expect(a).not.toEqual(b);
  for (let at = 0; at < 1000; at += 100) expect(a.subarray(at, at + 100).some((byte) => byte !== 0)).toBe(true);
});
