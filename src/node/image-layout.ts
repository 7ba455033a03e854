/**
 * The layout of a node image, leaf and inner alike: sorted entries, searched where they lie, nothing decoded.
 * An inner image is a leaf whose cells are 40-byte handles and which has no version column. Little-endian:
 *
 *   0   u16 magic 'SI'      2   u8 layout version     3   u8 level (0 is a leaf)
 *   4   u16 entries         6   u16 length of the prefix that all keys share
 *   8   u32 image length, a multiple of 8             12  u32 CRC32C of everything but these four bytes
 *   16  u32 store id        20  u32 flags (bit 0: cells may be tombstones)
 *   24  u48 base number, u16 zero                     32  u48 newest number, u16 zero
 *   40  the prefix, padded with zeros to a word
 *       u32 heads[n]        the first four key bytes behind the prefix as a big-endian number, short ones zero-filled
 *       u32 slots[n + 1]    low half: where the key's suffix starts; high half: where the cell starts; from the image's start
 *       u32 versions[n]     leaves only: number of the last change minus the base number
 *       suffixes            one after another, in order: a key ends where the next one starts
 *       cells               one after another, in order; a cell ends where the next one starts
 *       zeros to a multiple of 8
 *
 * Invariants (validate.ts holds every image that comes from outside to 1-5, tree-check.ts to all):
 *  1. There is at least one entry; slots only grow, start right behind the columns and end inside the image.
 *  2. The suffixes end where the cells start.
 *  3. Heads never fall.
 *  4. In an inner image every cell is a handle of a child exactly one level below; its sums are the sums of its handles.
 *  5. Padding and reserved bytes are zero.
 *  6. Keys strictly rise; the prefix is all that they share.
 */

export const IMAGE_MAGIC = 0x4953;
export const IMAGE_LAYOUT = 1;
export const IMAGE_HEADER_BYTES = 40;
export const IMAGE_HEADER_WORDS = IMAGE_HEADER_BYTES >>> 2;
/** Set in a run's leaves: entries may say that a key is absent. */
export const IMAGE_HAS_TOMBSTONES = 1;
/** No tree is higher: what claims to be is damage. */
export const MAX_LEVEL = 31;
/** Offsets inside an image have 16 bits. */
export const LONGEST_IMAGE_BYTES = 65528;
/** The most children that fit an inner image of the usual size: 8192 / (head 4 + slot 4 + handle 40). */
export const MAX_USUAL_CHILDREN = 170;

/** Bytes behind the memory of images that may be read and mean nothing: whoever copies by words needs no look at the end. */
export const SLACK_BYTES = 8;

/** Memory that images lie in, seen as bytes, as words, and by a view for what is not aligned. Images start on multiples of 8. */
export class ImageViews {
  readonly bytes: Uint8Array;
  readonly u32: Uint32Array;
  readonly data: DataView;

  constructor(sizeBytes: number) {
    const buffer = new ArrayBuffer(sizeBytes + SLACK_BYTES);
    this.bytes = new Uint8Array(buffer, 0, sizeBytes);
    this.u32 = new Uint32Array(buffer);
    this.data = new DataView(buffer);
  }
}

export function imageLevel(views: ImageViews, base: number): number {
  return views.bytes[base + 3] as number;
}

export function imageCount(views: ImageViews, base: number): number {
  return (views.u32[(base >>> 2) + 1] as number) & 0xffff;
}

export function imagePrefixLength(views: ImageViews, base: number): number {
  return (views.u32[(base >>> 2) + 1] as number) >>> 16;
}

export function imageLength(views: ImageViews, base: number): number {
  return views.u32[(base >>> 2) + 2] as number;
}

export function imageStoreId(views: ImageViews, base: number): number {
  return views.u32[(base >>> 2) + 4] as number;
}

export function imageFlags(views: ImageViews, base: number): number {
  return views.u32[(base >>> 2) + 5] as number;
}

export function imageBaseNumber(views: ImageViews, base: number): number {
  const word = (base >>> 2) + 6;
  return (views.u32[word] as number) + ((views.u32[word + 1] as number) & 0xffff) * 0x1_0000_0000;
}

export function imageNewest(views: ImageViews, base: number): number {
  const word = (base >>> 2) + 8;
  return (views.u32[word] as number) + ((views.u32[word + 1] as number) & 0xffff) * 0x1_0000_0000;
}

/** Word index of the first head. */
export function headsWord(views: ImageViews, base: number): number {
  return (base >>> 2) + IMAGE_HEADER_WORDS + ((imagePrefixLength(views, base) + 3) >>> 2);
}

/** Word index of the first slot. */
export function slotsWord(views: ImageViews, base: number): number {
  return headsWord(views, base) + imageCount(views, base);
}

/** Word index of the first version (leaves only). */
export function versionsWord(views: ImageViews, base: number): number {
  return headsWord(views, base) + 2 * imageCount(views, base) + 1;
}

/** Byte position of child `index`'s handle in an inner image. */
export function handleAt(views: ImageViews, base: number, index: number): number {
  return base + ((views.u32[slotsWord(views, base) + index] as number) >>> 16);
}

/** Copies the whole key of entry `index` to `into[at...]` and answers its length; `into` must have room (MAX_KEY_BYTES). */
export function copyKey(views: ImageViews, base: number, index: number, into: Uint8Array, at: number): number {
  const bytes = views.bytes;
  const prefix = imagePrefixLength(views, base);
  const slot = slotsWord(views, base) + index;
  const from = base + IMAGE_HEADER_BYTES;
  for (let i = 0; i < prefix; i++) into[at + i] = bytes[from + i] as number;
  const start = base + ((views.u32[slot] as number) & 0xffff);
  const end = base + ((views.u32[slot + 1] as number) & 0xffff);
  const target = at + prefix - start;
  for (let i = start; i < end; i++) into[target + i] = bytes[i] as number;
  return prefix + end - start;
}

/** Bytes of an image with these contents, padding included. */
export function imageSize(
  isLeaf: boolean,
  count: number,
  prefixLength: number,
  suffixBytes: number,
  cellBytes: number,
): number {
  const columns = isLeaf ? 12 * count + 4 : 8 * count + 4;
  const size = IMAGE_HEADER_BYTES + ((prefixLength + 3) & ~3) + columns + suffixBytes + cellBytes;
  return (size + 7) & ~7;
}
