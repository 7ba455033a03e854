/** What a suite of the database contract runs on: one way to have a database. */
import { afterEach } from 'vitest';
import type { Database } from '../../../src/store/database.ts';

export interface Subject {
  readonly db: Database;
  /** Closes the database and opens it again; undefined where nothing outlives closing. */
  readonly reopen?: (options?: { readonly readOnly?: boolean }) => Promise<Database>;
  dispose(): Promise<void>;
}

export type OpenSubject = () => Promise<Subject>;

/** A fresh database for each test, closed behind it. */
export function fresh(open: OpenSubject): () => Promise<Subject> {
  const opened: Subject[] = [];
  afterEach(async () => {
    for (const subject of opened.splice(0)) await subject.dispose();
  });
  return async () => {
    const subject = await open();
    opened.push(subject);
    return subject;
  };
}
