/**
 * Row h: what a program waits for between its first line and its first record, in a new process (`open-child.mjs`). Each opening is
 * preceded by one that is not measured, which makes it warm and fills V8's compile cache; `cold` then drops the page cache.
 */
const base = { row: 'h', unit: 'ms', lower: true, ownProcess: 'open-child.mjs', stored: true };

export const openingWorks = [
  {
    ...base,
    name: 'open',
    about: 'load the code, open, first get; warm, with the compile cache',
    against: { sqlite: { target: 0.54, floor: 2.15 }, rocksdb: {} },
    limit: 5,
  },
  {
    ...base,
    name: 'open-plain',
    about: 'the same without the compile cache',
    plain: true,
    against: { sqlite: { floor: 2.15 }, rocksdb: {} },
    limit: 20,
  },
  {
    ...base,
    name: 'open-evicted',
    about: 'the same with the compile cache and nothing in the page cache',
    cold: true,
    against: { rocksdb: { target: 0.38, floor: 1.0 }, sqlite: {} },
    limit: 8,
  },
];
