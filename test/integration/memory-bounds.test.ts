/**
 * Memory stays bounded whatever the transaction and whatever the database: a write transaction of millions of records, and a
 * scan of a database ten times the cache, a salvage of it, each in a process of its own whose highest resident size the kernel tells.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folderBytes, temporaryFolder } from '../helpers/folders.ts';
import { startProcess } from '../helpers/processes.ts';
import { amount, noteFigures, round } from '../helpers/scale.ts';

const MIB = 1024 * 1024;
const records = amount(500_000, 5_000_000);
/** A tenth of the database, at most 64 MiB. */
const cacheBytes = amount(6, 64) * MIB;
const allowedBytes = cacheBytes + 256 * MIB;

/** Whatever the database: its pieces are small, and are handed about as objects. */
const SALVAGE_BYTES = 450 * MIB;

const WORKER = join(import.meta.dirname, '..', 'helpers', 'memory-worker.ts');

interface Answer {
  readonly openMs: number;
  readonly peakBytes: number;
  readonly seconds: number;
}

async function run(what: string, folder: string): Promise<Answer> {
  const worker = startProcess(WORKER, [what, folder, String(records), String(cacheBytes)]);
  const { code, lines } = await worker.ended;
  if (code !== 0) throw new Error(`${what} failed: ${worker.complaints}`);
  return JSON.parse(lines[0] as string) as Answer;
}

describe.skipIf(process.platform !== 'linux')('memory', () => {
  it(`of a transaction of ${records} records, and of a scan of ten times the cache, stays under its bound`, async () => {
    using folder = temporaryFolder('memory');
    const write = await run('write', folder.path);
    const megabytes = folderBytes(folder.path) / MIB;
    const scan = await run('scan', folder.path);
    const salvage = await run('salvage', folder.path);
    noteFigures('memory-bounds', {
      records,
      cacheMebibytes: cacheBytes / MIB,
      folderMebibytes: round(megabytes),
      allowedMebibytes: allowedBytes / MIB,
      writePeakMebibytes: round(write.peakBytes / MIB),
      writeSeconds: round(write.seconds),
      scanPeakMebibytes: round(scan.peakBytes / MIB),
      openMs: round(scan.openMs),
      scanSeconds: round(scan.seconds),
      salvagePeakMebibytes: round(salvage.peakBytes / MIB),
      salvageSeconds: round(salvage.seconds),
    });
    expect(megabytes).toBeGreaterThan((9 * cacheBytes) / MIB);
    expect(write.peakBytes).toBeLessThan(allowedBytes);
    expect(scan.peakBytes).toBeLessThan(allowedBytes);
    expect(salvage.peakBytes).toBeLessThan(SALVAGE_BYTES);
  }, 600_000);
});
