/** Definitions that several targets begin with. */
import { keySpecDefinition } from '../../src/codec/key-spec.ts';
import type { StoredDefinition, StoredIndex } from '../../src/codec/store-definition.ts';

export const PLAIN: StoredDefinition = {
  id: 70,
  name: 'people',
  key: keySpecDefinition(['a', { field: 'b', order: 'desc' }], ['c']),
  values: 'inline',
  raw: false,
  unique: true,
  indexes: [],
  generation: 1,
};

export const BY_NAME: StoredIndex = {
  name: 'byName',
  id: 71,
  unique: true,
  fields: [{ name: 'name', descending: false }],
  version: undefined,
  many: false,
};
