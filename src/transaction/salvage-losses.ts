/**
 * What a salvage has lost so far: the list for people, and what may be missing because of it for the salvage itself. The list is
 * cut where it gets too long; what may be missing is not, it only gets coarser.
 */
import { compareKeys } from '../base/bytes.ts';
import type { Lost } from '../storage/salvage-report.ts';
import { FOREST_STORE, idKey } from '../storage/system-stores.ts';

/** Longest list of losses; a badly damaged database would fill the memory with them. */
const MOST_LOST = 10_000;

export class Losses {
  readonly #list: Lost[] = [];
  readonly #places = new Map<number, Lost[]>();
  /** Stores with more losses than are kept: anything of them may be missing. */
  readonly #whole = new Set<number>();
  #noted = 0;
  #isGapped = false;

  readonly note = (lost: Lost): void => {
    if (this.#noted++ < MOST_LOST) this.#list.push(lost);
    if (lost.store === undefined) return;
    const known = this.#places.get(lost.store);
    if (this.#noted > MOST_LOST) this.#whole.add(lost.store);
    else if (known === undefined) this.#places.set(lost.store, [lost]);
    else known.push(lost);
  };

  /** Changes are lost, and nobody can say of which keys. */
  gap(): void {
    this.#isGapped = true;
  }

  /** Whether an entry under the key may be among what is lost. */
  readonly isUnknown = (storeId: number, key: Uint8Array): boolean =>
    this.#isGapped || this.#isMissing(storeId, key) || this.isTreeMissing(storeId);

  /** Whether the store's tree may be lost with the part of the forest that named it. */
  isTreeMissing(storeId: number): boolean {
    return this.#isMissing(FOREST_STORE, idKey(storeId));
  }

  /** Whether anything of the store may be missing or out of date. */
  mayMiss(storeId: number): boolean {
    if (this.#isGapped || this.#whole.has(storeId) || this.#places.has(storeId)) return true;
    return this.isTreeMissing(storeId);
  }

  list(): Lost[] {
    const { length } = this.#list;
    if (this.#noted === length) return [...this.#list];
    return [...this.#list, { what: `${this.#noted} pieces are lost; these are the first ${length}` }];
  }

  #isMissing(storeId: number, key: Uint8Array): boolean {
    if (this.#whole.has(storeId)) return true;
    return this.#places.get(storeId)?.some((lost) => isIn(lost, key)) ?? false;
  }
}

function isIn({ key: only, lower, upper }: Lost, key: Uint8Array): boolean {
  if (only !== undefined) return compareKeys(key, only) === 0;
  if (lower !== undefined && compareKeys(key, lower) < 0) return false;
  return upper === undefined || compareKeys(key, upper) < 0;
}
