/** Kills a writing process with -9, opens what it left, and counts. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Database } from '../../src/index.ts';
import { count, duration, fact, heading, say } from './show.ts';
import { orders, receipts } from './stores.ts';

const KILLS = 3;
/** Transactions acknowledged before the kill. */
const ENOUGH = 1500;

/** Hands back the database, opened again. */
export async function crash(folder: string): Promise<Database> {
  heading('Kill -9 in the middle of a commit');
  say('another process writes orders, each with its receipt, until it is killed');
  for (let run = 1; run <= KILLS; run++) {
    const acknowledged = await writeAndKill(folder, run);
    const began = performance.now();
    const db = await Database.open(folder);
    const opened = performance.now() - began;
    const found = await look(db, run);
    const lost = acknowledged.filter((id) => !found.orders.has(id));
    if (lost.length > 0) throw new Error(`${lost.length} acknowledged orders are lost, the first is ${lost[0]}`);
    const halves = [...found.orders].filter((id) => !found.receipts.has(id)).length;
    if (halves > 0 || found.orders.size !== found.receipts.size) throw new Error('half of a transaction is there');
    const more = found.orders.size - acknowledged.length;
    fact(
      `killed after ${count(acknowledged.length)}; open in ${duration(opened)}: all are there` +
        `${more > 0 ? ` and ${more} more` : ''}, none by half`,
    );
    if (run === KILLS) return db;
    await db.close();
  }
  return Database.open(folder);
}

function writeAndKill(folder: string, run: number): Promise<number[]> {
  const writer = join(import.meta.dirname, 'writer.ts');
  const child = spawn(process.execPath, [...process.execArgv, writer, folder, String(run)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  let killed = false;
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (part: string) => {
    text += part;
    if (!killed && text.length > ENOUGH * 4) {
      killed = true;
      child.kill('SIGKILL');
    }
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (!killed) reject(new Error(`the writing process ended by itself, with ${code}`));
      // The last line may have been cut by the kill.
      else resolve(text.slice(0, text.lastIndexOf('\n')).split('\n').map(Number));
    });
  });
}

async function look(db: Database, run: number): Promise<{ orders: Set<number>; receipts: Set<number> }> {
  return db.read(async (tx) => {
    const idsOf = async (store: typeof orders | typeof receipts) => {
      const keys = await tx
        .store(store as typeof orders)
        .range({ prefix: { run }, keysOnly: true })
        .toArray();
      return new Set(keys.map(({ id }) => id));
    };
    return { orders: await idsOf(orders), receipts: await idsOf(receipts) };
  });
}
