/**
 * The comparison: the same works by SOP and its peers, peers in turn repetition by repetition, each in a process of its own.
 *
 *   npm run bench                          everything, 1,000,000 records, 3 repetitions
 *   npm run bench -- quick                 100,000 records
 *   npm run bench -- gets put64            only these works
 *   npm run bench -- quick --peer sop --peer lmdb --reps 5 --seconds 1 --count 200000 --folder /a/real/disk --evict
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { randomKeys } from './records.mjs';
import { printReport } from './report.mjs';
import { works } from './works.mjs';

const here = import.meta.dirname;
const execute = promisify(execFile);

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peer: { type: 'string', multiple: true },
    count: { type: 'string' },
    reps: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string', default: join(here, 'results', 'data') },
    evict: { type: 'boolean', default: false },
  },
});
const count = Number(options.count ?? (positionals.includes('quick') ? 100_000 : 1_000_000));
const seed = Number(options.seed);
const wanted = positionals.filter((word) => word !== 'quick');

const allPeers = readdirSync(join(here, 'peers')).map((file) => file.replace('.mjs', ''));
const peers = ['sop', 'lmdb', 'lmdb-cache', 'sqlite', 'rocksdb', 'level'].filter(
  (name) => allPeers.includes(name) && (options.peer ?? allPeers).includes(name),
);
const chosen = works.filter((work) => wanted.length === 0 || wanted.includes(work.name) || wanted.includes(work.row));
const unknown = wanted.filter((word) => !works.some((work) => work.name === word || work.row === word));
if (unknown.length > 0 || peers.length === 0) {
  console.error(`works: ${works.map((work) => work.name).join(', ')}; peers: ${allPeers.join(', ')}`);
  process.exit(2);
}

/** Peers of one family read the same folder. */
const familyOf = (peer) => peer.replace('-cache', '');
const isVariant = (peer) => familyOf(peer) !== peer;
const folderOf = (peer) => join(options.folder, `${familyOf(peer)}-${count}-${seed}`);

async function runChild(peer, work, folder) {
  const args = work.ownProcess
    ? [join(here, work.ownProcess), peer, folder, randomKeys(1, seed)[0]]
    : [
        '--expose-gc',
        join(here, 'child.mjs'),
        JSON.stringify({ peer, work: work.name, count, seed, folder, seconds: Number(options.seconds) }),
      ];
  const { stdout } = await execute(process.execPath, args, { cwd: here, maxBuffer: 1 << 26 });
  return JSON.parse(/^RESULT (.*)$/m.exec(stdout)[1]);
}

async function once(peer, work) {
  if (!work.fresh) {
    await makeLoaded(peer);
    if (options.evict && work.ownProcess) evict();
    return runChild(peer, work, folderOf(peer));
  }
  const folder = work.keeps ? folderOf(peer) : `${folderOf(peer)}-${work.name}`;
  rmSync(folder, { recursive: true, force: true });
  rmSync(`${folder}.loaded`, { force: true });
  const result = await runChild(peer, work, folder);
  if (work.keeps) writeFileSync(`${folder}.loaded`, '');
  else rmSync(folder, { recursive: true, force: true });
  return result;
}

/** Loads the peer's folder once for all works that only need it. */
async function makeLoaded(peer) {
  if (existsSync(`${folderOf(peer)}.loaded`)) return;
  console.log(`  (loading ${count} records into ${familyOf(peer)})`);
  await once(
    familyOf(peer),
    works.find((work) => work.keeps),
  );
}

/** Drops the page cache of the whole machine (root only). */
function evict() {
  writeFileSync('/proc/sys/vm/drop_caches', '1');
}

async function runWork(work) {
  const results = {};
  // A cache in front changes reads of objects and nothing else.
  const taking = peers.filter((peer) => !isVariant(peer) || Object.hasOwn(work.against, peer));
  for (let rep = 0; rep < Number(options.reps); rep++) {
    const turn = [...taking.slice(rep % taking.length), ...taking.slice(0, rep % taking.length)];
    for (const peer of turn) {
      try {
        const result = await once(peer, work);
        if (result.missing) continue;
        results[peer] ??= [];
        results[peer][rep] = result;
        const figure = result.rate ?? result.value;
        console.log(
          `  ${work.name} ${rep + 1}/${options.reps} ${peer.padEnd(10)} ${figure.toFixed(figure < 100 ? 2 : 0)} ${work.unit}`,
        );
      } catch (error) {
        console.error(
          `  ${work.name} ${rep + 1}/${options.reps} ${peer.padEnd(10)} FAILED: ${String(error.stderr || error.message).slice(-800)}`,
        );
        process.exitCode = 1;
      }
    }
  }
  return { work: work.name, results };
}

mkdirSync(options.folder, { recursive: true });
// A leftover folder of an earlier engine would be measured for this one's.
for (const name of readdirSync(options.folder))
  if (name.startsWith('sop-')) rmSync(join(options.folder, name), { recursive: true });
const outcome = [];
for (const work of chosen) {
  console.log(`\n${work.row}  ${work.about}`);
  outcome.push(await runWork(work));
}
const machine = {
  cpu: cpus()[0]?.model,
  cpus: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
};
const file = join(here, 'results', `${new Date().toISOString().replace(/[:.]/g, '-')}.json`);
writeFileSync(file, JSON.stringify({ machine, count, seed, options, outcome }, null, 1));
printReport({ machine, count, outcome });
console.log(`\n${file}`);
