/**
 * The comparison: the same works by SOP and its peers, peers in turn repetition by repetition, each in a process of its own.
 *
 *   npm run bench                          everything, 1,000,000 records, 3 repetitions
 *   npm run bench -- quick                 rows a to i with 100,000 records, one short repetition
 *   npm run bench -- large                 10,000,000 records with a cache of 64 MB, works where layout changes the answer
 *   npm run bench -- growth                what an operation costs from 10,000 to 10,000,000 records
 *   npm run bench -- syncs                 how often each peer syncs, counted by strace
 *   npm run bench -- publish <result.json> ...     tables and plots from results
 *   npm run bench -- gets put64 ycsb       only these works or rows
 *   npm run bench -- list                  works and peers
 *
 * Options: --peer <name> (again and again) --reps --seconds --count --seed --cache-mb --table-mb --memory-mb --rate --folder --name
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, loadAverage } from './machine.mjs';
import { absence, allPeers, peerOf } from './peers.mjs';
import { figureOf, printReport } from './report.mjs';
import { Runner, takesPart } from './runner.mjs';
import { works } from './works/index.mjs';

const here = import.meta.dirname;
const LAYOUT = [
  'load-random',
  'size',
  'gets',
  'scan',
  'scan-keys',
  'ranges',
  'memory',
  'open',
  'put64',
  'ycsb-a',
  'ycsb-c',
];
const GROWING = ['load-random', 'gets', 'scan', 'ranges', 'open', 'put64'];
const STEPS = [10_000, 100_000, 1_000_000, 10_000_000];

/** What a command means; options given by hand go before. */
const commands = {
  all: { count: 1_000_000, reps: 3, seconds: 2, cacheMb: 256, works: works.map((work) => work.name) },
  quick: {
    count: 100_000,
    reps: 1,
    seconds: 0.4,
    cacheMb: 256,
    works: works.filter((w) => /^[a-i]$/.test(w.row)).map((w) => w.name),
  },
  large: { count: 10_000_000, reps: 1, seconds: 4, cacheMb: 64, works: LAYOUT },
  growth: { count: 10_000_000, reps: 1, seconds: 1, cacheMb: 256, works: GROWING, steps: STEPS },
};

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peer: { type: 'string', multiple: true },
    count: { type: 'string' },
    reps: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    'cache-mb': { type: 'string' },
    'table-mb': { type: 'string' },
    'memory-mb': { type: 'string' },
    rate: { type: 'string' },
    folder: { type: 'string', default: join(here, 'results', 'data') },
    out: { type: 'string', default: join(here, 'results') },
    name: { type: 'string' },
  },
});

const number = (name, otherwise) => (given[name] === undefined ? otherwise : Number(given[name]));

function stop(message) {
  console.error(message);
  process.exit(2);
}

function choosePeers() {
  for (const name of given.peer ?? [])
    if (peerOf(name) === undefined) stop(`no peer ${name}; there are: ${namesOf(allPeers)}`);
  const asked = allPeers.filter(({ name }) => given.peer?.includes(name) ?? true);
  const there = asked.filter((peer) => absence(peer) === undefined);
  for (const peer of asked) if (!there.includes(peer)) console.log(`without ${peer.name}: ${absence(peer)}`);
  return there.length > 0 ? there : stop('no peer is left');
}

const namesOf = (list) => list.map(({ name }) => name).join(', ');

function planOf(words) {
  const command = commands[words[0]] ? words[0] : 'all';
  const wanted = words.filter((word) => word !== command);
  const unknown = wanted.filter((word) => !works.some(({ name, row }) => name === word || row === word));
  if (unknown.length > 0) stop(`no work ${unknown.join(', ')}; there are: ${namesOf(works)}`);
  const preset = commands[command];
  const chosen = works.filter(({ name, row }) =>
    wanted.length > 0 ? wanted.includes(name) || wanted.includes(row) : preset.works.includes(name),
  );
  const count = number('count', preset.count);
  return {
    command,
    works: chosen,
    counts: preset.steps?.filter((step) => step <= count) ?? [count],
    reps: number('reps', preset.reps),
    options: {
      folder: given.folder,
      seed: number('seed', 1),
      seconds: number('seconds', preset.seconds),
      cacheMb: number('cache-mb', preset.cacheMb),
      tableMb: number('table-mb', undefined),
      memoryMb: number('memory-mb', undefined),
      rate: number('rate', undefined),
    },
  };
}

/** All repetitions of a work; a peer that fails is reported and the others go on. */
async function runWork(runner, work, peers, reps) {
  const results = {};
  const taking = peers.filter((peer) => takesPart(peer, work));
  for (let rep = 0; rep < reps; rep++) {
    const shift = rep % Math.max(1, taking.length);
    for (const peer of [...taking.slice(shift), ...taking.slice(0, shift)]) {
      const where = `  ${work.name} ${rep + 1}/${reps} ${peer.name.padEnd(12)}`;
      try {
        const result = await runner.once(peer, work);
        if (result.missing) continue;
        if (result.skipped) {
          console.log(`${where} skipped: ${result.skipped}`);
          continue;
        }
        results[peer.name] ??= [];
        results[peer.name].push({ rep, ...result });
        const figure = figureOf(result);
        console.log(`${where} ${figure.toFixed(figure < 100 ? 2 : 0)} ${work.unit}`);
      } catch (error) {
        console.error(`${where} FAILED: ${String(error.stderr || error.message).slice(-800)}`);
        process.exitCode = 1;
      }
    }
  }
  return { work: work.name, count: runner.options.count, results };
}

async function runPlan(plan) {
  const peers = choosePeers();
  mkdirSync(plan.options.folder, { recursive: true });
  // A leftover folder of an earlier engine would be measured for this one's.
  for (const name of readdirSync(plan.options.folder)) {
    if (name.startsWith('sop-')) rmSync(join(plan.options.folder, name), { recursive: true });
  }
  const began = new Date();
  const machine = await describeMachine(plan.options.folder, peers);
  const file = join(given.out, `${given.name ?? `${plan.command}-${began.toISOString().replace(/[:.]/g, '-')}`}.json`);
  mkdirSync(given.out, { recursive: true });
  const outcome = [];
  for (const count of plan.counts) {
    const runner = new Runner({ ...plan.options, count });
    for (const work of plan.works) {
      console.log(`\n${work.row}  ${work.about}; ${count} records, load ${loadAverage()}`);
      outcome.push(await runWork(runner, work, peers, plan.reps));
      const { folder: _folder, ...options } = plan.options;
      const minutes = (Date.now() - began.getTime()) / 60_000;
      const result = {
        command: plan.command,
        began: began.toISOString(),
        minutes,
        machine,
        options,
        reps: plan.reps,
        outcome,
      };
      writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
    }
    if (plan.counts.length > 1) runner.removeAll(peers);
  }
  printReport({ machine, outcome });
  console.log(`\n${file}`);
}

const [first = '', ...others] = positionals;
if (first === 'list') {
  for (const { name, row, about } of works) console.log(`${row.padEnd(8)} ${name.padEnd(14)} ${about}`);
  for (const peer of allPeers) console.log(`${peer.name.padEnd(14)} ${absence(peer) ?? peer.about}`);
} else if (first === 'syncs') await (await import('./syncs.mjs')).traceSyncs(choosePeers(), given.folder, given.out);
else if (first === 'publish') (await import('./publish.mjs')).publish(others);
else await runPlan(planOf(positionals));
