/** Every limit of the engine, in one place. Sizes are in bytes unless the name says otherwise. */

/** Longest encoded sort key. Two of them plus their handles must fit one inner image. */
export const MAX_KEY_BYTES = 4096;
/** Longest encoded ride-on part of a key. */
export const MAX_RIDE_ON_BYTES = 1024;
/**
 * A cell longer than this never stays in a leaf: checkpoint moves its value to a value record in a segment. Rows of the engine's
 * own stores do stay.
 */
export const MAX_LEAF_CELL_BYTES = 2048;
/** A value longer than this does not travel in the log: the transaction writes it to a segment before it commits. */
export const MAX_LOG_VALUE_BYTES = 64 * 1024;
/** Longest encoded value outside streams (2 GiB). */
export const MAX_VALUE_BYTES = 2 ** 31;
/** Leaves and inner images are built up to this size; only one oversized entry may make an image longer. */
export const IMAGE_TARGET_BYTES = 8192;
/** No image is ever longer: what claims to be is damage. */
export const MAX_IMAGE_BYTES = 64 * 1024;
/** The unit of log writes: what the strictest usual device wants as alignment of direct I/O. */
export const LOG_ALIGNMENT = 4096;
/** Longest store name in UTF-8 bytes. */
export const MAX_STORE_NAME_BYTES = 512;
/** What the catalog holds of a store with its indexes. While it is redefined its row holds two of them, and fits an image. */
export const MAX_DEFINITION_BYTES = 24 * 1024;
/** Longest name of a pin in UTF-8 bytes. */
export const MAX_PIN_NAME_BYTES = 512;
/** Longest batch a reader accepts; what claims to be longer is damage or a torn tail. */
export const MAX_BATCH_BYTES = 256 * 1024 * 1024;
/** Store ids below this belong to the engine itself. */
export const FIRST_USER_STORE_ID = 64;
/** Arrays, objects, maps and the like within one another, in a value. */
export const MAX_VALUE_NESTING = 512;
/** All strings of one value together, in UTF-16 code units: a reader cuts them from one string, and V8 ends those at 2^29. */
export const MAX_VALUE_TEXT_UNITS = 500_000_000;
/** Objects with more fields than this carry their field names with them. */
export const MAX_SHAPE_FIELDS = 64;
/** All field names of a shape together, in UTF-8 bytes. */
export const MAX_SHAPE_NAME_BYTES = 2048;
/** Shapes a database defines; objects of further shapes carry their field names with them. */
export const MAX_SHAPES = 4096;
