/**
 * The data of every work, the same for every peer: random keys of 16 characters, objects of about 105 bytes as JSON (or of
 * 10 KB, `large`).
 *
 * Values come from a pool made before the clock starts, so that making objects is nobody's time; record i holds
 * pool[i % pool size], and every read is checked by the sum of the ids it decoded.
 */

const POOL = 16384;
const LARGE_POOL = 64;
const LARGE_TEXT = 10_000;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const ALPHABET_BYTES = Buffer.from(ALPHABET);
const KEY_LENGTH = 16;

/** A small seeded generator (xorshift-multiply mixing of a counter); answers 32 bits at a time. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return (x ^ (x >>> 15)) >>> 0;
  };
}

function randomText(next, length) {
  let text = '';
  for (let i = 0; i < length; i++) text += ALPHABET[next() & 31];
  return text;
}

/** `count` different random keys, in random order; flat strings, since one that is put together piece by piece takes thrice the memory. */
export function randomKeys(count, seed) {
  const next = generator(seed);
  const keys = new Array(count);
  const bytes = Buffer.alloc(KEY_LENGTH);
  for (let i = 0; i < count; i++) {
    for (let at = 0; at < KEY_LENGTH; at++) bytes[at] = ALPHABET_BYTES[next() & 31];
    keys[i] = bytes.latin1Slice(0, KEY_LENGTH);
  }
  return keys;
}

const CITIES = ['Lisbon', 'Oslo', 'Nairobi', 'Quito', 'Hanoi', 'Perth', 'Zagreb', 'Lima'];

export function valuePool(seed, large = false) {
  const next = generator(seed ^ 0x5bd1e995);
  const values = new Array(large ? LARGE_POOL : POOL);
  for (let i = 0; i < values.length; i++) {
    const name = randomText(next, 9);
    values[i] = {
      id: 100000 + i,
      name,
      email: `${name}@example.org`,
      age: 18 + (next() % 70),
      city: CITIES[next() & 7],
      score: (next() % 100000) / 10,
      active: (next() & 1) === 1,
    };
    if (large) values[i].text = randomText(next, LARGE_TEXT);
  }
  return values;
}

/** What every work needs: keys, values by number, and random picks. A large record counts as twenty. */
export function makeRecords({ count: wanted, seed, large = false }) {
  const count = large ? Math.max(100, Math.ceil(wanted / 20)) : wanted;
  const keys = randomKeys(count, seed);
  const pool = valuePool(seed, large);
  const size = pool.length;
  const jsonBytes = pool.reduce((total, value) => total + JSON.stringify(value).length, 0) / size;
  return {
    count,
    keys,
    /** Bytes of a record: its key and its value as JSON. */
    payloadBytes: KEY_LENGTH + jsonBytes,
    idOf: (i) => 100000 + (i % size),
    valueOf: (i) => pool[i % size],
    /** The value of record i changed: a peer may write and sync nothing where a record is replaced by its equal. */
    changed: (i, by) => ({ ...pool[i % size], score: by / 10 }),
    /** The numbers of all records in the order of their keys. */
    sortedOrder: () => Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => (keys[a] < keys[b] ? -1 : 1)),
    insertOrder: () => Uint32Array.from({ length: count }, (_, i) => i),
    picks: (howMany, below, pickSeed) => {
      const next = generator(seed + pickSeed);
      return Uint32Array.from({ length: howMany }, () => next() % below);
    },
    /** Keys that no record has, the same for everybody. */
    freshKeys: (howMany) => randomKeys(howMany, seed ^ 0x2545f491),
  };
}
