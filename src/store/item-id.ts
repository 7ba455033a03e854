/** What tells items under equal keys apart. */
import { InvalidArgumentError } from '../base/errors.ts';
import { NUMBER_PLACEHOLDER, writeItemId } from '../log/placeholder.ts';

/** Where the ids given out by one transaction get their number from, once it has committed. */
export interface ItemOrigin {
  number: number | undefined;
}

const FORM = /^(\d{1,15})-(\d{1,10})$/;
const MAX_SEQUENCE = 0xffff_ffff;

/**
 * Names one item of a store with equal keys for ever: by the number of the transaction that added it, and its place among
 * what that transaction added. Ids sort as the items do. An id is provisional until its transaction has committed: it can be
 * used inside that transaction, but has no number and no text form yet; afterwards the same object is the final one.
 */
export class ItemId {
  readonly #origin: ItemOrigin | undefined;
  readonly #number: number;
  /** Among the items that its transaction added, from zero; not without gaps. */
  readonly sequence: number;

  /** @internal Ids come from `add`, from entries and from `parse`. */
  constructor(number: number, sequence: number, origin?: ItemOrigin) {
    this.#number = number;
    this.sequence = sequence;
    this.#origin = origin;
  }

  /** The id that `toString` wrote. `InvalidArgumentError` for anything else. */
  static parse(text: string): ItemId {
    const parts = typeof text === 'string' ? FORM.exec(text) : null;
    const number = Number(parts?.[1]);
    const sequence = Number(parts?.[2]);
    if (parts === null || number >= NUMBER_PLACEHOLDER || sequence > MAX_SEQUENCE) {
      throw new InvalidArgumentError("an item id is two numbers, as in '12-0'", { details: { found: text } });
    }
    return new ItemId(number, sequence);
  }

  /** The number of the transaction that added the item; undefined while the id is provisional. */
  get number(): number | undefined {
    return this.#origin === undefined ? this.#number : this.#origin.number;
  }

  get isProvisional(): boolean {
    return this.number === undefined;
  }

  /** Negative where this item comes before the other; provisional ones come last. */
  compare(other: ItemId): number {
    const [mine, others] = [this.number ?? NUMBER_PLACEHOLDER, other.number ?? NUMBER_PLACEHOLDER];
    return mine === others ? this.sequence - other.sequence : mine - others;
  }

  /** Whether it names the same item. */
  equals(other: ItemId): boolean {
    return this.compare(other) === 0 && (this.#origin === other.#origin || !this.isProvisional);
  }

  /** Text for `ItemId.parse`, good in every process; of a provisional id 'provisional-n', which `parse` refuses. */
  toString(): string {
    return `${this.number ?? 'provisional'}-${this.sequence}`;
  }

  /** As `toString`. */
  toJSON(): string {
    return this.toString();
  }

  /** @internal Writes its ten bytes, as a transaction with this origin sees them. */
  write(into: Uint8Array, at: number, origin: ItemOrigin): void {
    const { number } = this;
    if (number === undefined && this.#origin !== origin) {
      throw new InvalidArgumentError('a provisional item id of another transaction, which has not committed');
    }
    writeItemId(into, at, number ?? NUMBER_PLACEHOLDER, this.sequence);
  }
}
