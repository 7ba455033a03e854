/** Cursors over stores of equal keys: those of other stores, with ids. */
import { InvalidArgumentError } from '../base/errors.ts';
import { AT } from '../node/entry-cursor.ts';
import { StoreCursor } from './cursor.ts';
import { CursorCore } from './cursor-core.ts';
import { ItemId } from './item-id.ts';
import type { StoreCore } from './store-core.ts';
import type { BagEntry, LookupKey } from './store-types.ts';

/**
 * A place among the items of a store with equal keys; all that `StoreCursor` says holds for it, item by item. `find` goes to
 * the first item under a key, with `nearest: 'less'` to the last.
 */
export class BagCursor<K, V, R extends string = never> extends StoreCursor<K, V, R, BagEntry<K, V>> {
  readonly #core: CursorCore;

  /** Use `bag.cursor()`. */
  constructor(core: StoreCore) {
    const cursor = new CursorCore(core);
    super(core, cursor);
    this.#core = cursor;
  }

  /** The id of the item it stands at; undefined where it stands at none. */
  get id(): ItemId | undefined {
    this.#core.mustBeUsable();
    if (!this.#core.isOn) return undefined;
    const key = this.#core.copyKey();
    return this.#core.core.itemIdOf(key, key.length);
  }

  /** Goes to one item; false, and between its neighbours, where it is not (any more). */
  findItem(key: LookupKey<K, R>, id: ItemId): Promise<boolean> {
    try {
      const bytes = this.#encode(key, id);
      return this.soon(() => this.#core.goTo(bytes, false));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  findItemSync(key: LookupKey<K, R>, id: ItemId): boolean {
    return this.#core.goTo(this.#encode(key, id), true) === AT;
  }

  #encode(key: LookupKey<K, R>, id: ItemId): Uint8Array {
    this.#core.mustBeUsable();
    if (!(id instanceof ItemId)) throw new InvalidArgumentError('an item is found by its key and its ItemId');
    const { core } = this.#core;
    core.encodeItemKey(key, id);
    return core.codec.copyKey();
  }
}
