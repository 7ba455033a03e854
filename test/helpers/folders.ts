/** Folders of tests: temporary ones, their size, and what tells that nothing in one was touched. */
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TemporaryFolder extends Disposable {
  readonly path: string;
}

export function temporaryFolder(purpose: string): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), `sop-${purpose}-`));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => join(folder, name));
}

/** Bytes of all files as they are listed. */
export function folderBytes(folder: string): number {
  let sum = 0;
  for (const path of filesOf(folder)) {
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status?.isFile()) sum += status.size;
  }
  return sum;
}

/** Every name, size, time of change and content below a folder, as one text to compare. */
export function folderState(folder: string): string {
  const hash = createHash('sha256');
  for (const path of [folder, ...filesOf(folder)]) {
    const { size, mtimeNs, ctimeNs, mode, ino } = lstatSync(path, { bigint: true });
    const isFile = lstatSync(path).isFile();
    hash.update(`${path} ${isFile ? size : 'folder'} ${mtimeNs} ${ctimeNs} ${mode} ${ino}\n`);
    if (isFile) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}
