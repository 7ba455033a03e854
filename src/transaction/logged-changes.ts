/** What a transaction has changed, as its commit writes it into the log. */
import type { CommitRun, CommitSection } from '../commit/commit-request.ts';
import type { StoreChanges } from './store-changes.ts';

export interface LoggedChanges {
  readonly sections: readonly CommitSection[];
  readonly runs: readonly CommitRun[];
  /** What they take of a batch at the most. */
  readonly byteLength: number;
}

const TRANSACTION_HEADER_BYTES = 64;

export function loggedChanges(changes: readonly StoreChanges[]): LoggedChanges {
  const sections: CommitSection[] = [];
  const runs: CommitRun[] = [];
  let byteLength = TRANSACTION_HEADER_BYTES;
  for (const { storeId, buffer, spill } of changes) {
    if (!buffer.isEmpty) {
      const section = {
        storeId,
        recordCount: buffer.recordCount,
        bytes: buffer.sectionBytes,
        start: buffer.sectionStart,
        byteLength: buffer.sectionLength,
      };
      sections.push(section);
      byteLength += section.byteLength + 32;
    }
    // Oldest first: the table keeps the one adopted last in front.
    for (const run of [...(spill?.runs ?? [])].reverse()) {
      const descriptor = run.descriptor();
      runs.push({ storeId, descriptor, adopt: (number) => run.numbered(number) });
      byteLength += descriptor.length + 16;
    }
  }
  return { sections, runs, byteLength };
}
