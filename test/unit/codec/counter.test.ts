/** Counters as bytes: they come back, wrap round, and are added in any order. */
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../../src/base/errors.ts';
import {
  addAmounts,
  createdCell,
  incrementedCell,
  isIncrementLength,
  readBigCounter,
  readCounter,
  writeCounter,
} from '../../../src/codec/counter.ts';

function incrementOf(creates: boolean, ...amounts: (number | bigint)[]): Uint8Array {
  const increment = new Uint8Array(8 + 8 * amounts.length);
  if (creates) increment[0] = 1;
  for (const [i, amount] of amounts.entries()) writeCounter(increment, 8 + 8 * i, amount);
  return increment;
}

const EDGES = [
  0n,
  1n,
  -1n,
  2n ** 32n - 1n,
  2n ** 32n,
  -(2n ** 32n),
  2n ** 53n - 1n,
  -(2n ** 53n),
  2n ** 63n - 1n,
  -(2n ** 63n),
];

describe('a counter', () => {
  it('comes back as it was written', () => {
    const bytes = new Uint8Array(9);
    for (const value of EDGES) {
      writeCounter(bytes, 1, value);
      expect(readBigCounter(bytes, 1)).toBe(value);
      expect(readCounter(bytes, 1)).toBe(Number(value));
      if (value >= -(2n ** 53n) && value < 2n ** 53n) {
        writeCounter(bytes, 1, Number(value));
        expect(readBigCounter(bytes, 1)).toBe(value);
      }
    }
  });

  it('is added to with carries, and wraps round', () => {
    for (const a of EDGES) {
      for (const b of EDGES) {
        const sum = new Uint8Array(8);
        writeCounter(sum, 0, a);
        const increment = incrementOf(true, b);
        addAmounts(sum, 0, increment, 0, increment.length);
        expect(readBigCounter(sum, 0)).toBe(BigInt.asIntN(64, a + b));
      }
    }
  });

  it('stands at the head of the value, or of the ride-on part', () => {
    const plain = Uint8Array.of(0, 5, 0, 0, 0, 0, 0, 0, 0);
    const increment = incrementOf(true, 2);
    expect([...incrementedCell(plain, 0, 9, increment, 0, 16)]).toEqual([0, 7, 0, 0, 0, 0, 0, 0, 0]);
    const riding = Uint8Array.of(99, 2, 9, 0, 5, 0, 0, 0, 0, 0, 0, 0, 77, 88);
    const found = incrementedCell(riding, 1, riding.length, increment, 0, 16);
    expect([...found]).toEqual([2, 9, 0, 7, 0, 0, 0, 0, 0, 0, 0, 77, 88]);
    expect(riding[4]).toBe(5);
  });

  it('is made where its key is absent, if the increment says so', () => {
    expect(createdCell(incrementOf(false, 1), 0, 16)).toBe(undefined);
    expect([...(createdCell(incrementOf(true, 300), 0, 16) as Uint8Array)]).toEqual([0, 44, 1, 0, 0, 0, 0, 0, 0]);
  });

  it('is missed by name in a cell that has no room for it, or whose value lives elsewhere', () => {
    const increment = incrementOf(true, 1, 1);
    const cells = [
      [],
      [0],
      [0, ...Array(15).fill(1)],
      [2, 8, 0, ...Array(40).fill(1)],
      [2, 99, 0, 1],
      [2, 1],
      [1, ...Array(32).fill(1)],
    ];
    for (const cell of cells) {
      expect(() => incrementedCell(Uint8Array.from(cell), 0, cell.length, increment, 0, 24)).toThrow(CorruptionError);
    }
  });

  it('has increments of whole amounts', () => {
    expect([0, 8, 12, 15, 17].some(isIncrementLength)).toBe(false);
    expect([16, 24, 520].every(isIncrementLength)).toBe(true);
  });
});
