/**
 * What a power cut makes of a simulated disk. Everything synced stays; each unsynced step is kept, lost or torn, by
 * fate and seed; the result is a disk on which all that is left is durable.
 *
 * The rule for one sector: it holds what it held durably, or what it held right after any one of the unsynced writes that
 * touched it. So writes come out lost, torn at 512 bytes and reordered against each other, but a sector never mixes two
 * states that the cache never showed together.
 */

import type { FileImage } from './file-image.ts';
import {
  applyChange,
  applyTo,
  type DiskNode,
  type FileNode,
  type FolderChange,
  type FolderNode,
  oldestFirst,
  type PendingWrite,
  ROOT_NODE,
  replay,
  type SimulatedDisk,
} from './simulated-disk.ts';
import { SECTOR_BYTES } from './simulated-limits.ts';
import { SeededRandom } from './simulated-random.ts';

/**
 * Unsynced data: all kept; all lost; lost but for the size (zeros); a prefix of the writes, the last one torn; each write
 * kept or lost; each sector of each write kept or lost.
 */
export type DataFate = 'kept' | 'lost' | 'extended' | 'prefix' | 'subset' | 'torn';

/** Unsynced folder changes: all kept; all lost; a prefix of all (one journal); of each folder's; any of them. */
export type FolderFate = 'kept' | 'lost' | 'journal' | 'prefix' | 'subset';

export interface PowerCut {
  readonly data: DataFate;
  readonly folders: FolderFate;
  readonly seed: number;
  /** Only the unsynced writes of this host are at stake, on a disk that itself stays up. */
  readonly host?: number;
}

export interface CrashResult {
  readonly disk: SimulatedDisk;
  /** The same for the same outcome of the same disk, so that a harness need not look at it twice. */
  readonly signature: number;
}

interface Draw {
  readonly cut: PowerCut;
  readonly random: SeededRandom;
  signature: number;
}

export function crashDisk(disk: SimulatedDisk, cut: PowerCut): CrashResult {
  const draw: Draw = { cut, random: new SeededRandom(cut.seed), signature: 0 };
  // The fork gives both sides new tokens, so nothing below can reach into what the original still changes in place.
  const crashed = disk.fork();
  const owner = {};
  const keptChanges = drawFolderChanges(crashed, draw);
  for (let id = 0; id < crashed.nodes.length; id++) {
    const node = crashed.nodes[id];
    if (node?.kind === 'folder' && cut.host === undefined) crashed.nodes[id] = crashFolder(node, keptChanges, owner);
  }
  const names = reachable(crashed);
  crashed.usedBytes = 0;
  for (let id = 0; id < crashed.nodes.length; id++) {
    const node = crashed.nodes[id];
    const count = names.get(id);
    if (count === undefined) crashed.nodes[id] = undefined;
    else if (node?.kind === 'file') crashed.nodes[id] = crashFile(node, id, count, draw, owner);
    const left = crashed.nodes[id];
    if (left?.kind === 'file') crashed.usedBytes += left.allocatedBytes;
  }
  return { disk: crashed, signature: draw.signature };
}

function drawFolderChanges(disk: SimulatedDisk, draw: Draw): Set<number> {
  const lists: (readonly FolderChange[])[] = [];
  for (const node of disk.nodes) if (node?.kind === 'folder' && node.pending.length > 0) lists.push(node.pending);
  const kept = new Set<number>();
  if (lists.length === 0) return kept;
  const all = [...new Set(lists.flatMap((list) => list.map((change) => change.sequence)))].sort((a, b) => a - b);
  const { random } = draw;
  switch (draw.cut.folders) {
    case 'kept':
      for (const sequence of all) kept.add(sequence);
      break;
    case 'lost':
      break;
    case 'journal':
      for (const sequence of all.slice(0, random.below(all.length + 1))) kept.add(sequence);
      break;
    case 'prefix':
      drawPrefixes(lists, kept, random);
      break;
    case 'subset':
      for (const sequence of all) if (random.chance(0.5)) kept.add(sequence);
  }
  for (const sequence of all) if (kept.has(sequence)) fold(draw, sequence);
  return kept;
}

/** A prefix for each folder, grown until a move across folders is kept in both or in neither. */
function drawPrefixes(lists: readonly (readonly FolderChange[])[], kept: Set<number>, random: SeededRandom): void {
  for (const list of lists)
    for (const change of list.slice(0, random.below(list.length + 1))) kept.add(change.sequence);
  for (let before = -1; before !== kept.size; ) {
    before = kept.size;
    for (const list of lists) {
      const last = list.findLastIndex((change) => kept.has(change.sequence));
      for (let i = 0; i < last; i++) kept.add((list[i] as FolderChange).sequence);
    }
  }
}

function crashFolder(node: FolderNode, kept: ReadonlySet<number>, owner: object): FolderNode {
  if (node.pending.length === 0) return node;
  const entries = new Map(node.durable);
  for (const change of node.pending) if (kept.has(change.sequence)) applyChange(entries, change);
  return { kind: 'folder', owner, entries, durable: new Map(entries), pending: [] };
}

/** How many names lead to each node that the root still reaches. */
function reachable(disk: SimulatedDisk): Map<number, number> {
  const names = new Map<number, number>([[ROOT_NODE, 1]]);
  const open = [ROOT_NODE];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const node: DiskNode | undefined = disk.nodes[id];
    if (node?.kind !== 'folder') continue;
    for (const child of node.entries.values()) {
      const count = names.get(child) ?? 0;
      names.set(child, count + 1);
      if (count === 0) open.push(child);
    }
  }
  return names;
}

function crashFile(node: FileNode, id: number, names: number, draw: Draw, owner: object): FileNode {
  const { host, data } = draw.cut;
  const writes = oldestFirst(node.pending);
  const atStake = host === undefined ? writes : writes.filter((write) => write.host === host);
  if (atStake.length === 0 && host !== undefined) return node;
  let left: FileImage;
  if (writes.length === 0) left = node.durable;
  else if (data === 'kept' && !node.diverged && atStake.length === writes.length)
    left = keepAll(node, id, writes, draw);
  else left = drawData(node.durable, id, atStake, draw);
  const crashed: FileNode = {
    kind: 'file',
    owner,
    image: left.fork(),
    durable: left,
    previous: node.previous,
    pending: undefined,
    pendingHost: 0,
    diverged: false,
    allocatedBytes: node.allocatedBytes,
    names,
  };
  if (host !== undefined) keepOthers(crashed, writes, host);
  return crashed;
}

/** The other hosts' writes stay what they were: visible and at stake. */
function keepOthers(file: FileNode, writes: readonly PendingWrite[], host: number): void {
  for (const write of writes) {
    if (write.host === host) continue;
    const sizeBytes = Math.max(file.image.sizeBytes, Math.min(write.sizeAfter, write.position + write.length));
    applyTo(file.image, write);
    file.image.setSize(sizeBytes);
    file.pendingHost = file.pending === undefined || file.pendingHost === write.host ? write.host : -1;
    file.pending = { ...write, sizeAfter: sizeBytes, older: file.pending };
  }
}

function keepAll(node: FileNode, id: number, writes: readonly PendingWrite[], draw: Draw): FileImage {
  fold(draw, id);
  for (let i = 0; i < writes.length; i++) fold(draw, i * 2 + 1);
  fold(draw, node.image.sizeBytes);
  return node.image;
}

function drawData(durable: FileImage, id: number, writes: readonly PendingWrite[], draw: Draw): FileImage {
  fold(draw, id);
  const now = durable.fork();
  const left = durable.fork();
  const cut = draw.cut.data === 'prefix' ? draw.random.below(writes.length + 1) : 0;
  const sizes = [durable.sizeBytes];
  writes.forEach((write, i) => {
    replay(now, write);
    sizes.push(write.sizeAfter);
    drawWrite(left, now, write, i, cut, draw);
  });
  const sizeBytes = drawSize(sizes, draw, cut);
  left.clearFrom(sizeBytes);
  left.sizeBytes = sizeBytes;
  fold(draw, sizeBytes);
  return left;
}

/** Takes what survives of one write from `now`, the cache right after it. */
function drawWrite(left: FileImage, now: FileImage, write: PendingWrite, i: number, cut: number, draw: Draw): void {
  const first = Math.floor(write.position / SECTOR_BYTES);
  const end = Math.ceil((write.position + write.length) / SECTOR_BYTES);
  if (end === first) return;
  const { random } = draw;
  switch (draw.cut.data) {
    case 'kept':
      keepSectors(left, now, first, end, i, draw);
      return;
    case 'subset':
      if (random.chance(0.5)) keepSectors(left, now, first, end, i, draw);
      return;
    case 'prefix':
      if (i < cut) keepSectors(left, now, first, end, i, draw);
      else if (i === cut) keepSectors(left, now, first, first + random.below(end - first), i, draw);
      return;
    case 'torn':
      tearWrite(left, now, first, end, i, draw);
      return;
    default:
      return;
  }
}

function tearWrite(left: FileImage, now: FileImage, first: number, end: number, i: number, draw: Draw): void {
  const { random } = draw;
  const kind = random.below(5);
  if (kind < 4) {
    // All lost, all kept, its front kept, its back kept.
    const from = kind === 3 ? first + random.below(end - first) : first;
    const to = kind === 0 ? first : kind === 2 ? first + random.below(end - first) : end;
    keepSectors(left, now, from, to, i, draw);
    return;
  }
  // Runs of kept and lost sectors, of random length, so that a megabyte costs no more than a few draws.
  const longest = Math.max(1, Math.floor((end - first) / 8));
  for (let at = first; at < end; ) {
    const stop = Math.min(end, at + 1 + random.below(longest));
    if (random.chance(0.5)) keepSectors(left, now, at, stop, i, draw);
    at = stop;
  }
}

function keepSectors(left: FileImage, now: FileImage, first: number, end: number, i: number, draw: Draw): void {
  if (end <= first) return;
  left.copySectors(now, first, end);
  fold(draw, i * 2 + 1);
  fold(draw, first);
  fold(draw, end);
}

function drawSize(sizes: readonly number[], draw: Draw, cut: number): number {
  const last = sizes[sizes.length - 1] as number;
  switch (draw.cut.data) {
    case 'lost':
      return sizes[0] as number;
    case 'kept':
    case 'extended':
      return last;
    case 'prefix':
      return sizes[Math.min(cut + draw.random.below(2), sizes.length - 1)] as number;
    default:
      // Mostly the newest size: a kept sector behind the end of the file is as good as lost.
      return draw.random.chance(0.6) ? last : draw.random.pick(sizes);
  }
}

function fold(draw: Draw, value: number): void {
  const mixed = Math.imul(draw.signature ^ (value | 0) ^ Math.floor(value / 0x1_0000_0000), 0x9e3779b1);
  draw.signature = (mixed ^ (mixed >>> 15)) >>> 0;
}
