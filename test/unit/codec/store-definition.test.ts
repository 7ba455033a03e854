/** Catalog rows: they come back, they are compared in words, and damage in them is noticed. */
import { describe, expect, it } from 'vitest';
import { CorruptionError, FormatUnsupportedError } from '../../../src/base/errors.ts';
import { keySpecDefinition } from '../../../src/codec/key-spec.ts';
import {
  decodeStoreDefinition,
  describeDifference,
  encodeStoreDefinition,
  isSameIndex,
  type StoredDefinition,
  type StoredIndex,
  highestIdOfDefinition,
} from '../../../src/codec/store-definition.ts';

const orders: StoredDefinition = {
  id: 70,
  name: 'orders',
  key: keySpecDefinition(['region', { field: 'day', order: 'desc' }, 'id'], ['status']),
  values: 'inline',
  raw: false,
  unique: true,
  indexes: [],
  generation: 3,
};

const BY_STATUS: StoredIndex = {
  name: 'byStatus',
  id: 68,
  unique: false,
  fields: [
    { name: 'status', descending: false },
    { name: 'day', descending: true },
  ],
  version: undefined,
  many: false,
};
const BY_YEAR: StoredIndex = { name: 'byYear', id: 90, unique: true, fields: undefined, version: 'one', many: false };

describe('a store definition', () => {
  it('comes back as it was, from the middle of other bytes too', () => {
    const scalar = { ...orders, key: keySpecDefinition({ order: 'desc' }), raw: true };
    const indexed: StoredDefinition = { ...orders, indexes: [BY_STATUS, BY_YEAR] };
    for (const definition of [orders, scalar, indexed]) {
      const bytes = encodeStoreDefinition(definition);
      expect(decodeStoreDefinition(bytes)).toStrictEqual(definition);
      const within = Uint8Array.of(9, 9, ...bytes, 9);
      expect(decodeStoreDefinition(within, 2, within.length - 1)).toStrictEqual(definition);
      expect(highestIdOfDefinition(within, 2, within.length - 1)).toBe(definition === indexed ? 90 : 70);
    }
  });

  it('has the bytes that the format says', () => {
    const small = { ...orders, id: 64, name: 's', key: keySpecDefinition(undefined), generation: 0 };
    expect(Buffer.from(encodeStoreDefinition(small)).toString('hex')).toBe(
      '0140000000ab09444146804a8146c046464381468247834a006e616d65736669656c647364657363656e64696e67726964654f6e76616c756573696e6c696e65726177756e69717565696e646578657367656e65726174696f6e41',
    );
  });

  it('is refused where it is damaged or from a newer version', () => {
    const bytes = encodeStoreDefinition({ ...orders, indexes: [BY_STATUS, BY_YEAR] });
    expect(() => decodeStoreDefinition(Uint8Array.of(3, ...bytes.subarray(1)))).toThrow(FormatUnsupportedError);
    for (let at = 0; at < bytes.length; at++) {
      for (const change of [1, 0x80, 0xff]) {
        const damaged = bytes.slice();
        damaged[at] = (damaged[at] as number) ^ change;
        try {
          decodeStoreDefinition(damaged);
        } catch (error) {
          if (at > 0 || !(error instanceof CorruptionError)) {
            expect(error).toBeInstanceOf(at === 0 ? FormatUnsupportedError : CorruptionError);
          }
        }
      }
      expect(() => decodeStoreDefinition(bytes, 0, at)).toThrow(CorruptionError);
    }
  });

  it('knows an index again whatever its store', () => {
    expect(isSameIndex(BY_STATUS, { ...BY_STATUS, id: 1 })).toBe(true);
    expect(isSameIndex(BY_STATUS, { ...BY_STATUS, unique: true })).toBe(false);
    expect(isSameIndex(BY_STATUS, { ...BY_STATUS, fields: BY_STATUS.fields?.slice(0, 1) })).toBe(false);
    expect(isSameIndex(BY_YEAR, { ...BY_YEAR, version: 'two' })).toBe(false);
  });

  it('differs from another one in words', () => {
    const differs = (change: Partial<StoredDefinition>) => describeDifference(orders, { ...orders, ...change });
    expect(differs({ id: 1, name: 'x', generation: 9 })).toBeUndefined();
    expect(differs({ key: keySpecDefinition(undefined) })).toBe(
      'its key is ["region", "day" desc, "id"] in the database but one value here',
    );
    expect(differs({ key: keySpecDefinition(['region', 'day', 'id'], ['status']) })).toBe(
      'its key is ["region", "day" desc, "id"] in the database but ["region", "day", "id"] here',
    );
    expect(differs({ key: { ...orders.key, rideOn: [] } })).toBe(
      'it has ride-on ["status"] in the database but no ride-on fields here',
    );
    expect(differs({ values: 'separate' })).toBe("'values' is 'inline' in the database but 'separate' here");
    expect(differs({ raw: true })).toBe("'raw' is false in the database but true here");
    expect(differs({ unique: false })).toBe("'unique' is true in the database but false here");
    expect(differs({ indexes: [BY_YEAR] })).toBeUndefined();
  });
});
