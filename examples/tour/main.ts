/**
 * The tour (`npm start`): loads real data, asks questions, lets 64 clients write at once, keeps a state and takes a
 * backup meanwhile, kills a writer in mid-commit, and verifies what is left. `node examples/tour/main.ts [folder]`
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Database } from '../../src/index.ts';
import { crash } from './crash.ts';
import { load } from './load.ts';
import { questions } from './questions.ts';
import { bold, count, dim, duration, fact, heading, mebibytes, ProgressLine, say } from './show.ts';
import { states } from './states.ts';
import { transfers } from './transfers.ts';

const folder = process.argv[2] ?? join(tmpdir(), 'sop-tour');
const backupFolder = `${folder}-backup`;

/** The folder of an earlier tour is replaced; anything else is left alone. */
function makeRoom(): void {
  if (!existsSync(folder) || readdirSync(folder).length === 0) return;
  if (!existsSync(join(folder, 'sop.json'))) throw new Error(`${folder} holds something else; name another folder`);
  rmSync(folder, { recursive: true });
}

async function verify(db: Database): Promise<void> {
  heading('Looking at every byte');
  await db.checkpoint();
  await db.compact();
  const progress = new ProgressLine('verify');
  const report = await db.verify({ onProgress: (at) => progress.show(at.entriesChecked, at.entriesTotal) });
  const took = progress.end();
  if (!report.ok) throw new Error(`verify found ${report.problems.length} problems: ${report.problems[0]?.message}`);
  fact(
    `${count(report.entries)} entries, ${count(report.images)} images, ${mebibytes(report.bytesChecked)}: sound, in ${duration(took)}`,
  );
  const { log, segments } = db.stats().sizeBytes;
  fact(`the folder takes ${mebibytes(log + segments)}`);
}

function goodbye(tookMs: number): void {
  const command = join(relative(process.cwd(), join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')));
  // Where set-up had to fetch a Node of its own, the one on the path is too old for this.
  const fetched = relative(process.cwd(), process.execPath);
  const node = fetched.startsWith('..') ? 'node' : fetched;
  const sop = [node, ...process.execArgv, command].join(' ');
  say();
  say(`${bold('Done')} in ${duration(tookMs)}. The database is in ${bold(folder)}; try`);
  say();
  for (const line of [
    `alias sop='${sop}'`,
    `sop stores ${folder}`,
    `sop scan ${folder} cities --prefix country=IS --limit 5`,
    `sop scan ${folder} names --prefix 'name^=New Y' --keys-only`,
    `sop count ${folder} cities --prefix country=BR`,
    `sop export ${folder} accounts | head -3`,
    `sop count ${backupFolder} shipments`,
    `sop --help`,
  ]) {
    say(`  ${line}`);
  }
  say();
}

async function tour(): Promise<void> {
  const began = performance.now();
  process.stdout.write(
    `\n${bold('SOP')}  a transactional, ordered store in a folder  ${dim(`Node ${process.version}, ${folder}`)}\n`,
  );
  makeRoom();
  const first = await Database.open(folder);
  await load(first);
  await questions(first);
  await transfers(first);
  await states(first, backupFolder);
  await first.close();
  const db = await crash(folder);
  await verify(db);
  await db.close();
  goodbye(performance.now() - began);
}

await tour().catch((error: unknown) => {
  console.error(`\nThe tour broke off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exitCode = 1;
});
