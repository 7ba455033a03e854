/**
 * A job: one work, one peer, one folder. Opens the peer, fills it where it keeps nothing, runs the work, closes, and adds what the
 * system says about the process: memory, bytes written per byte of payload, space on disk.
 */
import { mkdirSync } from 'node:fs';
import { allocatedBytes, diskBytes, memoryMiB } from './figures.mjs';
import { peerOf } from './peers.mjs';
import { makeRecords } from './records.mjs';
import { workOf } from './works/index.mjs';
import { putAll } from './works/loads.mjs';

export async function runJob(job, open) {
  const work = workOf(job.work);
  const records = makeRecords({ ...job, large: work.data === 'large' });
  const harness = memoryMiB();
  mkdirSync(job.folder, { recursive: true });
  const peer = await open(job.folder, { cacheMb: job.cacheMb ?? 256, tableMb: job.tableMb });
  let isOpen = true;
  const close = async () => {
    if (isOpen) await peer.close();
    isOpen = false;
  };
  try {
    if ((work.needs ?? []).some((call) => peer[call] === undefined)) return { missing: true };
    if (peerOf(job.peer).volatile && !work.fresh) await fill(peer, records);
    const before = diskBytes();
    const result = await work.run({ ...job, peer, records, harness });
    const memory = memoryMiB();
    await close();
    return {
      ...result,
      memory,
      harness,
      ...written(result, before, records),
      diskMB: allocatedBytes(job.folder) / 1e6,
    };
  } finally {
    await close();
  }
}

/** Only what is known is said: the payload of a work is that of the records it put. */
function written({ puts }, before, records) {
  const after = diskBytes();
  if (before === undefined || !(puts > 0)) return {};
  const writtenMB = (after.written - before.written) / 1e6;
  return { writtenMB, writtenPerByte: (writtenMB * 1e6) / (puts * records.payloadBytes) };
}

function fill(peer, records) {
  return putAll({ peer, records }, records.insertOrder());
}
