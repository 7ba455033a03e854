/** Opening an index of a store for reading. */
import { InvalidArgumentError } from '../base/errors.ts';
import { quoted } from './arguments.ts';
import { findSame } from './define-index.ts';
import type { IndexSource } from './index-range.ts';
import type { StoreIndex } from './index-set.ts';
import { mustBeReady, refuseUnready } from './index-state.ts';
import { StoreCore } from './store-core.ts';

/** Throws `InvalidArgumentError` for an index that nobody has declared, `IndexNotReadyError` for one that cannot be read. */
export function openIndex(owner: StoreCore, name: string): IndexSource {
  owner.mustBeOpen();
  const index = findIndex(owner, name);
  mustBeReady(owner.etx, owner.name, index);
  const core = new StoreCore(owner.transaction, `${owner.name}.${name}`, index.stored.id, index.codec);
  if (owner.writable) {
    owner.openIndexes ??= [];
    owner.openIndexes.push(core);
  }
  return { index: core, owner };
}

function findIndex(owner: StoreCore, name: string): StoreIndex {
  const { indexSet, indexDefinitions } = owner;
  const definition = indexDefinitions?.find((one) => one.name === name);
  const isDeclared = indexDefinitions === undefined ? indexSet?.find(name) !== undefined : definition !== undefined;
  if (!isDeclared) {
    throw new InvalidArgumentError(`store '${owner.name}' has no index ${quoted(name)}`, {
      details: { store: owner.name, index: name },
    });
  }
  const same =
    definition === undefined ? undefined : findSame(indexSet?.all.map((one) => one.stored) ?? [], definition);
  const found = definition === undefined ? indexSet?.find(name) : indexSet?.find(same?.name ?? '');
  return found ?? refuseUnready(owner.name, name, undefined);
}
