/**
 * CRC32C (Castagnoli, reflected polynomial 0x82f63b78), the checksum of every image, batch and value.
 *
 * The portable form here is table-driven, eight bytes a step (Kounavis and Berry's slicing-by-8). The environment layer
 * installs the hardware form of the native module where there is one; both give the same figures, so which one runs is
 * nobody's business but the profiler's.
 */

/** CRC32C of `bytes[start, end)`, continuing from `seed` (the CRC of what came before; 0 at the start). Unsigned 32 bits. */
export type ChecksumFunction = (bytes: Uint8Array, start: number, end: number, seed: number) => number;

const TABLES = buildTables();

function buildTables(): Uint32Array[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256));
  const first = tables[0] as Uint32Array;
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    first[i] = crc;
  }
  for (let t = 1; t < 8; t++) {
    const table = tables[t] as Uint32Array;
    const before = tables[t - 1] as Uint32Array;
    for (let i = 0; i < 256; i++) {
      const crc = before[i] as number;
      table[i] = (crc >>> 8) ^ (first[crc & 0xff] as number);
    }
  }
  return tables;
}

const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
];

export function portableCrc32c(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let crc = ~seed;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    const low =
      crc ^
      ((bytes[i] as number) |
        ((bytes[i + 1] as number) << 8) |
        ((bytes[i + 2] as number) << 16) |
        ((bytes[i + 3] as number) << 24));
    crc =
      (T7[low & 0xff] as number) ^
      (T6[(low >>> 8) & 0xff] as number) ^
      (T5[(low >>> 16) & 0xff] as number) ^
      (T4[low >>> 24] as number) ^
      (T3[bytes[i + 4] as number] as number) ^
      (T2[bytes[i + 5] as number] as number) ^
      (T1[bytes[i + 6] as number] as number) ^
      (T0[bytes[i + 7] as number] as number);
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ (T0[(crc ^ (bytes[i] as number)) & 0xff] as number);
  return ~crc >>> 0;
}

let implementation: ChecksumFunction = portableCrc32c;

/** Called once by the environment layer when the native module is there. */
export function installChecksum(fn: ChecksumFunction): void {
  implementation = fn;
}

export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): number {
  return implementation(bytes, start, end, seed);
}
