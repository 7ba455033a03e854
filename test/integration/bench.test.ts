/**
 * The comparison in `bench/`, in miniature: every work runs with SOP and with every peer that is here, its answers are right, and what
 * it tells can be reported and published. No timing is judged.
 */
import { execFile } from 'node:child_process';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import * as library from '../../src/index.ts';
import { temporaryFolder } from '../helpers/folders.ts';

interface Work {
  readonly name: string;
  readonly fresh?: boolean;
  readonly data?: string;
  readonly ownProcess?: string;
}

interface Peer {
  readonly name: string;
  readonly family: string;
  readonly volatile?: boolean;
}

type Result = Record<string, unknown>;

const bench = join(import.meta.dirname, '..', '..', 'bench');
const { allPeers, absence } = await import(join(bench, 'peers.mjs'));
const { works } = await import(join(bench, 'works', 'index.mjs'));
const { takesPart } = await import(join(bench, 'runner.mjs'));
const { figureOf } = await import(join(bench, 'report.mjs'));
const { runJob } = await import(join(bench, 'job.mjs'));
const { longText, publish } = await import(join(bench, 'publish.mjs'));
const { countSyncs } = await import(join(bench, 'syncs.mjs'));
const { opener } = await import(join(bench, 'sop-peer.mjs'));
const execute = promisify(execFile);
const folder = temporaryFolder('bench');
const tiny = { count: 300, seed: 1, seconds: 0.01, cacheMb: 8, rate: 200 };

afterAll(() => folder[Symbol.dispose]());

/** SOP is measured as it is shipped and tried here as it is written. */
async function openOf(name: string): Promise<unknown> {
  return name === 'sop' ? opener(library) : (await import(join(bench, 'peers', `${name}.mjs`))).open;
}

async function loaded(peer: Peer, data: string | undefined): Promise<string> {
  const path = join(folder.path, `${peer.family}-${data ?? 'small'}`);
  const there = await readdir(folder.path);
  if (there.includes(`${peer.family}-${data ?? 'small'}`)) return path;
  const work = data === 'large' ? 'load-large' : 'load-random';
  await runJob({ ...tiny, peer: peer.family, work, folder: path }, await openOf(peer.family));
  return path;
}

async function tryWork(peer: Peer, work: Work): Promise<Result> {
  const path = join(folder.path, `${peer.name}-${work.name}`);
  if (!work.fresh && !peer.volatile) await cp(await loaded(peer, work.data), path, { recursive: true });
  const result = await runJob({ ...tiny, peer: peer.name, work: work.name, folder: path }, await openOf(peer.name));
  await rm(path, { recursive: true });
  return result;
}

function expectSound(result: Result): void {
  if (result.missing === true) return;
  expect(figureOf(result)).toBeGreaterThanOrEqual(0);
  expect(figureOf(result)).toBeLessThan(Infinity);
  expect(result.memory).toBeDefined();
  for (const value of Object.values(result)) expect(value).not.toBeNaN();
}

describe.each(allPeers as Peer[])('$name', (peer) => {
  const missing: string | undefined = peer.name === 'sop' ? undefined : absence(peer);

  const title = 'does every work it can, and every answer is right';
  it.skipIf(missing !== undefined)(missing === undefined ? title : `${title} (${missing})`, async () => {
    const its = (works as Work[]).filter((work) => work.ownProcess === undefined && takesPart(peer, work));
    const done: string[] = [];
    for (const work of its) {
      const result = await tryWork(peer, work);
      expectSound(result);
      if (result.missing !== true) done.push(work.name);
    }
    if (peer.name === 'sop') expect(done).toEqual(its.map((work) => work.name));
    expect(done.length).toBeGreaterThan(0);
  });
});

describe('the runner', () => {
  it('takes peers in turn, keeps the figures, and says who is not there', async () => {
    const data = join(folder.path, 'data');
    const words = ['load-random', 'gets', 'put64', '--peer', 'map', '--peer', 'log', '--reps', '2', '--name', 'result'];
    const sizes = ['--count', '200', '--seconds', '0.01', '--folder', data, '--out', folder.path];
    const { stdout } = await execute(process.execPath, [join(bench, 'run.mjs'), ...words, ...sizes]);
    expect(stdout).toContain('gets/s');
    const { outcome, machine } = JSON.parse(await readFile(join(folder.path, 'result.json'), 'utf8'));
    expect(machine.node).toBe(process.version);
    const [load, gets, puts] = outcome;
    expect(Object.keys(load.results).sort()).toEqual(['log', 'map']);
    expect(Object.keys(gets.results)).toEqual(['map']);
    expect(puts.results.log.map((result: { rep: number }) => result.rep)).toEqual([0, 1]);
  });

  it.skipIf(absence({ package: 'node:sqlite' }) !== undefined)('opens in a new process', async () => {
    const words = ['open', 'open-plain', '--peer', 'node-sqlite', '--reps', '1', '--name', 'openings'];
    const sizes = ['--count', '200', '--folder', join(folder.path, 'data'), '--out', folder.path];
    await execute(process.execPath, [join(bench, 'run.mjs'), ...words, ...sizes]);
    const { outcome } = JSON.parse(await readFile(join(folder.path, 'openings.json'), 'utf8'));
    expect(outcome[0].results['node-sqlite'][0].value).toBeGreaterThan(0);
    expect(outcome.map((entry: { work: string }) => entry.work)).toEqual(['open', 'open-plain']);
  });

  it('refuses a work and a peer that nobody knows, naming those there are', async () => {
    const run = (...words: string[]) => execute(process.execPath, [join(bench, 'run.mjs'), ...words]);
    await expect(run('getz', '--peer', 'map')).rejects.toMatchObject({ code: 2, stderr: /no work getz.*load-sorted/ });
    await expect(run('gets', '--peer', 'mapp')).rejects.toMatchObject({ code: 2, stderr: /no peer mapp.*lmdb/ });
  });
});

describe('what is published', () => {
  const figures = (work: string, sop: number, lmdb: number, more = {}) => ({
    work,
    count: 1000,
    results: { sop: [{ rep: 0, rate: sop, ...more }], lmdb: [{ rep: 0, rate: lmdb, ...more }] },
  });
  const machine = { cpus: 2, cpu: 'slow', memoryGiB: 1, versions: { lmdb: '3' }, node: 'v0' };
  const result = { command: 'all', began: '2026-11-22', minutes: 1, machine, reps: 1, options: { cacheMb: 1 } };

  it('is made of results alone: tables between the marks, ratios the right way round, plots', async () => {
    const spread = { p50ms: 1, p90ms: 2, p99ms: 3, p999ms: 4, p9999ms: 5, maxMs: 6 };
    const file = join(folder.path, 'all.json');
    const outcome = [figures('gets', 200, 100), figures('size', 50, 200), figures('latency', 1, 2, spread)];
    await writeFile(file, JSON.stringify({ ...result, outcome }));
    const to = join(folder.path, 'published');
    const readme = join(folder.path, 'README.md');
    const ownReadme = await readFile(join(bench, 'README.md'), 'utf8');
    await writeFile(readme, `${ownReadme}after`);
    publish([file], { to, readmes: [{ path: readme, textOf: longText }] });
    const written = await readFile(readme, 'utf8');
    expect(written).toContain('| b random gets over all records, decoded object | 200 gets/s | 2.00x |');
    expect(written).toContain('| f size on disk after the random load | 50.0 MB | 4.00x |');
    expect(written.startsWith(ownReadme.slice(0, 500))).toBe(true);
    expect(written.endsWith('after')).toBe(true);
    expect((await readdir(to)).sort()).toEqual(['all.json', 'latency.svg', 'ratios.svg']);
    expect(await readFile(join(to, 'latency.svg'), 'utf8')).toMatch(/^<svg[^>]*>[\s\S]*<polyline[\s\S]*<\/svg>\n$/);
  });

  it('counts as a sync what makes data durable, once each, between the marks', () => {
    const trace = [
      '7 fsync(3) = 0',
      '7 openat(AT_FDCWD, "/sop-bench-mark/lone", O_RDONLY) = -1 ENOENT',
      '7 openat(AT_FDCWD, "/a", O_RDWR|O_DSYNC <unfinished ...>',
      '8 fdatasync(4 <unfinished ...>',
      '7 <... openat resumed>) = 9',
      '8 <... fdatasync resumed>) = 0',
      '8 pwrite64(9, "x", 1, 0) = 1',
      '8 pwrite64(8, "x", 1, 0) = 1',
      '8 pwritev2(8, [], 1, 0, RWF_DSYNC) = 1',
      '7 openat(AT_FDCWD, "/b", O_RDWR) = 9',
      '7 write(9, "x", 1) = 1',
    ];
    expect(countSyncs(trace.join('\n'))).toEqual({
      before: { fsync: 1 },
      lone: { fdatasync: 1, 'pwrite64 through': 1, 'pwritev2 through': 1 },
    });
  });
});
