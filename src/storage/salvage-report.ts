/** What a salvage could not bring along. */
export interface Lost {
  /** In words. */
  readonly what: string;
  readonly file?: string;
  readonly offset?: number;
  /** Id of the store. */
  readonly store?: number;
  /** Entries that are gone, as far as what points at them says; undefined where nobody knows. */
  readonly entries?: number;
  /** The only key that is gone, where that is known. */
  readonly key?: Uint8Array;
  /** The first key that may be gone, and the first behind it, as bytes; undefined for no bound. */
  readonly lower?: Uint8Array;
  readonly upper?: Uint8Array;
}
