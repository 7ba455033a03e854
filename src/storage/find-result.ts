/** What looking for a key comes to. */
export const ABSENT = 0;
export const FOUND = 1;
/** An image or value is not in memory: load and call again (never answered to who waits). */
export const NOT_LOADED = 2;
export type FindResult = typeof ABSENT | typeof FOUND | typeof NOT_LOADED;
