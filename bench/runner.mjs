/**
 * Runs works by peers, each in a process of its own over the folder it needs: a kept one for all that only read, loaded once; the same
 * one for works that change records (it counts as aged then, and is loaded anew before the next reading work); a copy for works
 * that make it grow; an empty one for loads.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { memoryGroup } from './limit-memory.mjs';
import { evict, writeOutDirty } from './machine.mjs';
import { randomKeys } from './records.mjs';
import { works } from './works/index.mjs';

const here = import.meta.dirname;
const execute = promisify(execFile);

export class Runner {
  /** `options`: folder, count, seed, seconds, cacheMb, tableMb, rate, memoryMb (undefined: no limit). */
  constructor(options) {
    this.options = options;
    mkdirSync(options.folder, { recursive: true });
  }

  #folderOf(peer, data = 'small') {
    return join(this.options.folder, `${peer.family}-${data}-${this.options.count}-${this.options.seed}`);
  }

  /** Removes what was loaded, and nothing else that lies in the folder. */
  removeAll(peers) {
    for (const peer of peers) for (const data of ['small', 'large']) remove(this.#folderOf(peer, data));
  }

  /** One repetition. Answers what the child found, or `{ skipped: why }`. */
  async once(peer, work) {
    if (peer.volatile || (work.fresh && !work.keeps)) return this.#inScratch(peer, work);
    if (work.fresh) return this.#load(peer, work);
    await this.#makeReady(peer, work);
    if (work.copies) return this.#inScratch(peer, work, this.#folderOf(peer, work.data));
    const folder = this.#folderOf(peer, work.data);
    if (work.writes) writeFileSync(`${folder}.state`, 'aged');
    return this.#run(peer, work, folder);
  }

  async #load(peer, work) {
    const folder = this.#folderOf(peer, work.data);
    remove(folder);
    const result = await this.#run(peer, work, folder);
    writeFileSync(`${folder}.state`, 'fresh');
    return result;
  }

  async #makeReady(peer, work) {
    const path = `${this.#folderOf(peer, work.data)}.state`;
    const state = existsSync(path) ? readFileSync(path, 'utf8') : 'absent';
    if (state === 'fresh' || (state === 'aged' && work.writes && !work.copies)) return;
    console.log(`    (loading ${peer.family})`);
    const loading = works.find((candidate) => candidate.keeps && candidate.data === work.data);
    await this.#load({ ...peer, name: peer.family }, loading);
  }

  async #inScratch(peer, work, from) {
    const folder = `${this.#folderOf(peer, work.data)}-${work.name}`;
    remove(folder);
    if (from !== undefined) {
      cpSync(from, folder, { recursive: true });
      writeOutDirty();
    }
    try {
      return await this.#run(peer, work, folder);
    } finally {
      remove(folder);
    }
  }

  async #run(peer, work, folder) {
    if (work.ownProcess) {
      const [key] = randomKeys(1, this.options.seed);
      const cache = work.plain ? 'plain' : join(this.options.folder, 'compile-cache');
      const args = [join(here, work.ownProcess), peer.name, folder, key, String(this.options.cacheMb), cache];
      await this.#child(args);
      return this.#cold(work, folder, () => this.#child(args));
    }
    const job = JSON.stringify({ ...this.options, peer: peer.name, work: work.name, folder });
    return this.#cold(work, folder, () => this.#child(['--expose-gc', join(here, 'child.mjs'), job]));
  }

  async #cold(work, folder, run) {
    if (!work.cold) return run();
    const coldBy = evict(folder);
    if (coldBy === undefined && work.ownProcess) return { skipped: 'the page cache cannot be emptied here' };
    const result = await run();
    if (coldBy === undefined) delete result.coldReadMB;
    return { ...result, coldBy };
  }

  async #child(args) {
    const group =
      this.options.memoryMb === undefined ? undefined : memoryGroup(this.options.memoryMb, this.options.count);
    try {
      const call = [process.execPath, ['--max-old-space-size=8192', ...args]];
      const [program, all] = group === undefined ? call : group.command(...call);
      const { stdout } = await execute(program, all, { cwd: here, maxBuffer: 1 << 26 });
      return JSON.parse(/^RESULT (.*)$/m.exec(stdout)[1]);
    } finally {
      group?.remove();
    }
  }
}

function remove(folder) {
  rmSync(folder, { recursive: true, force: true });
  rmSync(`${folder}.state`, { force: true });
}

/** Variants take part only where they differ, yardsticks only where nothing has to be stored. */
export function takesPart(peer, work) {
  if (peer.only !== undefined && peer.only !== work.kind) return false;
  return !(peer.volatile && work.stored);
}
