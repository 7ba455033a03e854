import { describe, expect, it } from 'vitest';
import { CopySource, copyInto, viewOf } from '../../../src/base/copy.ts';

/** Every byte differs from its neighbours, and 0x7ff... patterns are in: no number in between may change a bit. */
function patterned(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i % 11 === 0 ? 0xff : i % 13 === 0 ? 0xf7 : (i * 37) & 0xff;
  return bytes;
}

describe('copying short pieces', () => {
  it('moves exactly the bytes meant, at every length and alignment', () => {
    const from = patterned(700);
    const source = new CopySource();
    for (let length = 0; length <= 260; length++) {
      for (const start of [0, 1, 2, 3, 4, 5, 7, 8, 13]) {
        const at = (start * 5 + length) % 17;
        const to = new Uint8Array(320).fill(0xaa);
        copyInto(source, from, start, start + length, to, viewOf(to), at);
        const expected = new Uint8Array(320).fill(0xaa);
        expected.set(from.subarray(start, start + length), at);
        expect(to, `${length} bytes from ${start}`).toEqual(expected);
      }
    }
  });

  it('reaches the last byte of both arrays and not one behind', () => {
    const room = patterned(64);
    for (let length = 1; length <= 24; length++) {
      // Windows of larger memory: a step too far would not throw, it would be seen.
      const from = room.subarray(8, 8 + length);
      const memory = new Uint8Array(64).fill(1);
      const to = memory.subarray(16, 16 + length);
      copyInto(new CopySource(), from, 0, length, to, viewOf(to), 0);
      expect(to).toEqual(from);
      expect(memory.subarray(0, 16).every((byte) => byte === 1)).toBe(true);
      expect(memory.subarray(16 + length).every((byte) => byte === 1)).toBe(true);
    }
  });

  it('follows from one array to another', () => {
    const source = new CopySource();
    const to = new Uint8Array(16);
    for (const byte of [1, 2, 1, 3]) {
      copyInto(source, new Uint8Array(16).fill(byte), 0, 16, to, viewOf(to), 0);
      expect(to.every((found) => found === byte)).toBe(true);
      if (byte === 2) source.forget();
    }
  });
});
