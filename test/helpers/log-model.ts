/** What the log's tests share: small transactions, and a reading of everything a log hands out. */
import { type LogOpening, type OpenLogOptions, openLog } from '../../src/log/log-recovery.ts';
import { KIND_USER } from '../../src/log/batch.ts';
import type { FileCommitLog } from '../../src/log/file-commit-log.ts';
import type { BatchBuilder } from '../../src/log/batch-builder.ts';
import type { Env } from '../../src/env/env.ts';
import { writeU48 } from '../../src/base/bytes.ts';

export const folder = '/db';
export const databaseId = new Uint8Array(16).fill(7);

let nextWriter = 100;

export function open(env: Env, options: Partial<OpenLogOptions> = {}): Promise<LogOpening> {
  return openLog({ env, folder, databaseId, writer: nextWriter++, mode: 'write', reserveBytes: 64 * 1024, ...options });
}

export function openRead(env: Env, ownerAlive = false): Promise<LogOpening> {
  return open(env, { mode: 'read', ownerAlive });
}

/** The bytes a transaction of the tests holds: its text, padded to words. */
export function textBytes(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array((bytes.length + 3) & ~3).fill(0x20);
  padded.set(bytes);
  return padded;
}

export function addText(batch: BatchBuilder, text: string, storeId = 64): number {
  const bytes = textBytes(text);
  const number = batch.beginTransaction(KIND_USER, 5, 6);
  batch.addSection(storeId, 1, bytes, 0, bytes.length);
  batch.endTransaction();
  return number;
}

export function batchOf(log: FileCommitLog, texts: readonly string[]): BatchBuilder {
  const batch = log.openBatch();
  for (const text of texts) addText(batch, text);
  return batch;
}

export function putSync(log: FileCommitLog, ...texts: string[]): void {
  const batch = batchOf(log, texts);
  try {
    log.commitSync(batch);
  } finally {
    batch.release();
  }
}

export async function put(log: FileCommitLog, ...texts: string[]): Promise<void> {
  const batch = batchOf(log, texts);
  const done = log.commit(batch);
  batch.release();
  await done;
}

export interface ReadBack {
  readonly texts: string[];
  readonly firstNumber: number;
}

/** Everything above the root, as texts; other kinds as `#kind`. Checks that numbers are dense. */
export function readTexts(opening: LogOpening): string[] {
  const texts: string[] = [];
  const replay = opening.replay();
  let expected = opening.coveredNumber + 1;
  while (replay.next()) {
    const t = replay.transaction;
    if (t.number !== expected++) throw new Error(`number ${t.number} where ${expected - 1} belongs`);
    let text = t.kind === KIND_USER ? '' : `#${t.kind}`;
    while (t.nextSection()) {
      const section = t.bytes.subarray(t.sectionStart, t.sectionStart + t.sectionLength);
      text += new TextDecoder().decode(section).trimEnd();
    }
    texts.push(text);
  }
  if (opening.durableNumber !== expected - 1) throw new Error(`the replay ends at ${expected - 1}`);
  return texts;
}

export function rootRecord(covers: number, text = ''): Uint8Array {
  const bytes = new Uint8Array(6 + text.length);
  writeU48(bytes, 0, covers);
  bytes.set(new TextEncoder().encode(text), 6);
  return bytes;
}

export function texts(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `text ${from + i}`);
}
