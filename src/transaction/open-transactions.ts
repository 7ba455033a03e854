/**
 * The transactions under way, each in a slot of one array that it knows.
 *
 * Not a Set: one that gains and loses an element with every transaction is laid out anew every few dozen of them, and each layout it
 * leaves behind names the next one and whatever was in it. Once the first of them is in the old generation, all transactions
 * live until the next full collection: scavenges of 25-40 ms, where there was nothing to keep.
 */
import { assert } from '../base/assert.ts';

/** What a member brings along: its slot, which is its owner's alone to change. */
export interface OpenMember {
  /** -1 while it is in no list. */
  slot: number;
}

export class OpenTransactions<T extends OpenMember> {
  readonly #list: T[] = [];

  get size(): number {
    return this.#list.length;
  }

  /** In no particular order; not to be kept, nor used over an addition or removal. */
  get all(): readonly T[] {
    return this.#list;
  }

  add(member: T): void {
    assert(member.slot === -1, 'a transaction is under way once');
    member.slot = this.#list.length;
    this.#list.push(member);
  }

  /** Harmless where it is not here. */
  delete(member: T): void {
    const { slot } = member;
    if (slot < 0) return;
    const last = this.#list.pop() as T;
    if (last !== member) {
      this.#list[slot] = last;
      last.slot = slot;
    }
    member.slot = -1;
  }
}
