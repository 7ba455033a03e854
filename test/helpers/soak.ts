/** Leads a soak: a process of its own that uses a database for a while and must give everything back. */
import { join } from 'node:path';
import { temporaryFolder } from './folders.ts';
import { startProcess } from './processes.ts';

export interface SoakFigures {
  readonly seconds: number;
  readonly writes: number;
  readonly scans: number;
  readonly cycles: number;
  readonly checkpoints: number;
}

const WORKER = join(import.meta.dirname, 'soak-worker.ts');

/** Needs Linux, where a process can look at itself. Throws with everything that did not come back. */
export async function runSoak(seed: number, seconds: number): Promise<SoakFigures> {
  using folder = temporaryFolder('soak');
  const worker = startProcess(WORKER, [folder.path, String(seed), String(seconds)], ['--expose-gc']);
  const { lines, code, signal } = await worker.ended;
  const end = lines.find((line) => line.startsWith('end '));
  if (end === undefined) throw new Error(`the soak ended with ${signal ?? code}\n${worker.complaints}`);
  const found = JSON.parse(end.slice(4)) as SoakFigures & { readonly wrong: readonly string[] };
  if (found.wrong.length > 0) throw new Error(`SOP_SEED=${seed}: ${found.wrong.join('\n')}\n${end}`);
  const { writes, scans, cycles, checkpoints } = found;
  return { seconds, writes, scans, cycles, checkpoints };
}
