/**
 * Search in an image, in its raw bytes. A key is compared with the shared prefix once, then its head (four bytes behind
 * the prefix, as a number) is searched in the u32 column, and whole keys are touched only among equal heads.
 *
 * The first probe is by interpolation, then the step doubles: keys that are spread evenly (hashes, uuids, counters) are
 * found within a cache line or two of the guess, where plain halving touches four or five cold lines of the column.
 */
import { IMAGE_HEADER_BYTES, IMAGE_HEADER_WORDS, type ImageViews } from './image-layout.ts';

/** `bytes[at, end)`'s first four bytes as a big-endian number, zero-filled. */
export function keyHead(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 <= end) {
    return (
      (((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number)) >>>
      0
    );
  }
  let head = 0;
  for (let i = at, shift = 24; i < end; i++, shift -= 8) head |= (bytes[i] as number) << shift;
  return head >>> 0;
}

/** The index of the entry with this key; where there is none, `~i` with i the index of the first greater one. */
export function searchImage(views: ImageViews, base: number, key: Uint8Array, start: number, end: number): number {
  const u32 = views.u32;
  const word = base >>> 2;
  const sizes = u32[word + 1] as number;
  const count = sizes & 0xffff;
  const prefix = sizes >>> 16;
  if (prefix !== 0) {
    const order = comparePrefix(views.bytes, base + IMAGE_HEADER_BYTES, prefix, key, start, end);
    if (order !== 0) return order < 0 ? ~0 : ~count;
  }
  const at = start + prefix;
  const head = keyHead(key, at, end);
  const heads = word + IMAGE_HEADER_WORDS + ((prefix + 3) >>> 2);
  const index = searchHeads(u32, heads, count, head);
  if (index === count || (u32[heads + index] as number) !== head) return ~index;
  return searchTies(views, base, heads, count, index, head, key, at, end);
}

/** The child of an inner image that covers the key: the last one whose separator is not greater, or the first. */
export function searchChild(views: ImageViews, base: number, key: Uint8Array, start: number, end: number): number {
  const found = searchImage(views, base, key, start, end);
  if (found >= 0) return found;
  return found === -1 ? 0 : ~found - 1;
}

/** Where the key stands to all keys with this prefix: before (-1), after (1), or among them (0). */
function comparePrefix(
  bytes: Uint8Array,
  at: number,
  prefix: number,
  key: Uint8Array,
  start: number,
  end: number,
): number {
  const length = end - start;
  const shared = length < prefix ? length : prefix;
  for (let i = 0; i < shared; i++) {
    const difference = (key[start + i] as number) - (bytes[at + i] as number);
    if (difference !== 0) return difference;
  }
  return length < prefix ? -1 : 0;
}

/** Index of the first head that is not less than `head`; `count` where all are. */
function searchHeads(u32: Uint32Array, heads: number, count: number, head: number): number {
  const first = u32[heads] as number;
  if (head <= first) return 0;
  const last = u32[heads + count - 1] as number;
  if (head > last) return count;
  // first < head <= last from here on: the answer lies in (low, high], heads[low] < head <= heads[high].
  let low = 0;
  let high = count - 1;
  const guess = (((head - first) / (last - first)) * high) | 0;
  let step = 2;
  if ((u32[heads + guess] as number) < head) {
    low = guess;
    while (low + step < high && (u32[heads + low + step] as number) < head) {
      low += step;
      step <<= 1;
    }
    if (low + step < high) high = low + step;
  } else {
    high = guess;
    while (high - step > low && (u32[heads + high - step] as number) >= head) {
      high -= step;
      step <<= 1;
    }
    if (high - step > low) low = high - step;
  }
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((u32[heads + middle] as number) < head) low = middle;
    else high = middle;
  }
  return high;
}

/** Search among equal heads, by whole suffixes; `at` is where the key's part behind the prefix starts. */
function searchTies(
  views: ImageViews,
  base: number,
  heads: number,
  count: number,
  first: number,
  head: number,
  key: Uint8Array,
  at: number,
  end: number,
): number {
  const u32 = views.u32;
  const bytes = views.bytes;
  const slots = heads + count;
  let low = first;
  let high = first + 1;
  for (let step = 1; high < count && (u32[heads + high] as number) === head; step <<= 1) {
    high = high + step < count ? high + step : count;
  }
  while (low < high) {
    const middle = (low + high) >>> 1;
    const otherHead = u32[heads + middle] as number;
    let order = 0;
    if (otherHead !== head) order = -1;
    else {
      let other = base + ((u32[slots + middle] as number) & 0xffff);
      const otherEnd = base + ((u32[slots + middle + 1] as number) & 0xffff);
      let mine = at;
      while (mine < end && other < otherEnd && order === 0)
        order = (key[mine++] as number) - (bytes[other++] as number);
      if (order === 0) order = end - mine - (otherEnd - other);
      if (order === 0) return middle;
    }
    if (order < 0) high = middle;
    else low = middle + 1;
  }
  return ~low;
}
