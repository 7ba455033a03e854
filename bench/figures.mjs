/** What a process is seen to use, and what lists of numbers say: memory, bytes written, space, medians, percentiles. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Half the distance between the quarters, as a share of the median: how far repetitions lie apart. */
export function spread(numbers) {
  if (numbers.length < 2) return 0;
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (share) => sorted[Math.round((sorted.length - 1) * share)];
  return (at(0.75) - at(0.25)) / 2 / median(sorted);
}

const SHARES = { p50ms: 0.5, p90ms: 0.9, p99ms: 0.99, p999ms: 0.999, p9999ms: 0.9999, maxMs: 1 };

/** The distribution of latencies in milliseconds. */
export function latencies(list) {
  const sorted = Float64Array.from(list).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return Object.fromEntries(Object.entries(SHARES).map(([name, share]) => [name, at(share)]));
}

function readFields(path) {
  const fields = {};
  for (const [, name, value] of readFileSync(path, 'utf8').matchAll(/^(\w+):\s+(\d+)/gm)) fields[name] = Number(value);
  return fields;
}

/**
 * Resident memory in MiB: `anonymous` (heap, arenas, caches of the process) apart from `file` (mapped files, which the system
 * can take back). Elsewhere than on Linux all of it counts as anonymous.
 */
export function memoryMiB() {
  globalThis.gc?.();
  try {
    const { Rss, Anonymous } = readFields('/proc/self/smaps_rollup');
    return { anonymous: Anonymous / 1024, file: (Rss - Anonymous) / 1024 };
  } catch {
    return { anonymous: process.memoryUsage.rss() / 1048576, file: 0 };
  }
}

/** Bytes that this process made the system read from and write to disks so far; undefined where the system does not tell. */
export function diskBytes() {
  try {
    const { read_bytes: read, write_bytes: written } = readFields('/proc/self/io');
    return { read, written };
  } catch {
    return undefined;
  }
}

/** What the files of a folder take on the disk (blocks, not lengths: preallocated space counts, holes do not). */
export function allocatedBytes(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    try {
      bytes += statSync(join(entry.parentPath, entry.name)).blocks * 512;
    } catch (error) {
      // A file that compaction removed between the two calls takes no space.
      if (error.code !== 'ENOENT') throw error;
    }
  }
  return bytes;
}

export function mustEqual(found, expected, what) {
  if (found !== expected) throw new Error(`${what}: ${found} found, ${expected} expected`);
}
