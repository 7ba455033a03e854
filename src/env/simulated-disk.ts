/**
 * A simulated disk: what everybody sees now (the volatile state), what a power cut would leave for sure (the durable
 * state), and the unsynced steps between the two, in order. It knows no time, no process and no error: those are the
 * world's (`simulated-env.ts`); what a crash makes of the unsynced steps is `simulated-crash.ts`.
 *
 * Invariants:
 *  1. A file's durable image changes by `syncFile` only (and by a failed sync, which settles what it lost at once).
 *  2. A folder's durable entries change by `syncFolder` only, and by that of the other folder of a move across folders.
 *  3. volatile = durable + unsynced steps in order, unless `diverged`: then a failed sync left newer bytes in the cache.
 *  4. A fork shares everything and changes nothing of the original; both copy what they change.
 */

import { assert } from '../base/assert.ts';
import { alignUp } from '../base/bytes.ts';
import { FileImage } from './file-image.ts';
import { PAGE_BYTES, SECTOR_BYTES } from './simulated-limits.ts';
import type { SeededRandom } from './simulated-random.ts';

/** One unsynced step on a file, newest first in a list, so that forks share it. */
export interface PendingWrite {
  readonly position: number;
  readonly length: number;
  /** Undefined for zeros (reserving, cutting off). */
  readonly bytes: Uint8Array | undefined;
  readonly sizeAfter: number;
  readonly host: number;
  readonly older: PendingWrite | undefined;
}

/** One unsynced step on a folder; a move across folders is two of them with one sequence number. */
export interface FolderChange {
  readonly sequence: number;
  readonly drop: string | undefined;
  readonly add: string | undefined;
  readonly node: number;
  /** The other folder of a move. */
  readonly peer: number | undefined;
}

export interface FileNode {
  readonly kind: 'file';
  readonly owner: object;
  image: FileImage;
  durable: FileImage;
  /** The durable image before the last sync: what a disk gives that answers with a stale sector. */
  previous: FileImage;
  pending: PendingWrite | undefined;
  /** The host of all pending writes; -1 where there are several. */
  pendingHost: number;
  diverged: boolean;
  allocatedBytes: number;
  names: number;
}

export interface FolderNode {
  readonly kind: 'folder';
  readonly owner: object;
  entries: Map<string, number>;
  durable: Map<string, number>;
  pending: readonly FolderChange[];
}

export type DiskNode = FileNode | FolderNode;

export const ROOT_NODE = 0;

export class SimulatedDisk {
  capacityBytes = Number.POSITIVE_INFINITY;
  usedBytes = 0;
  nodes: (DiskNode | undefined)[];
  nextSequence = 1;
  #token: object = {};

  constructor(nodes?: (DiskNode | undefined)[]) {
    this.nodes = nodes ?? [newFolder(this.#token)];
  }

  /** The disk as it is now; costs one array of pointers. */
  fork(): SimulatedDisk {
    this.#token = {};
    const copy = new SimulatedDisk(this.nodes.slice());
    copy.capacityBytes = this.capacityBytes;
    copy.usedBytes = this.usedBytes;
    copy.nextSequence = this.nextSequence;
    return copy;
  }

  file(id: number): FileNode {
    const node = this.nodes[id];
    assert(node?.kind === 'file', 'a file id names a file');
    return node;
  }

  folder(id: number): FolderNode {
    const node = this.nodes[id];
    assert(node?.kind === 'folder', 'a folder id names a folder');
    return node;
  }

  /** The node at the end of `names`; undefined where there is none. */
  find(names: readonly string[]): number | undefined {
    let id = ROOT_NODE;
    for (const name of names) {
      const node = this.nodes[id];
      if (node?.kind !== 'folder') return undefined;
      const next = node.entries.get(name);
      if (next === undefined) return undefined;
      id = next;
    }
    return id;
  }

  /** Whether anything would be at stake in a power cut. */
  hasUnsynced(): boolean {
    for (const node of this.nodes) {
      if (node === undefined) continue;
      if (node.kind === 'file' ? node.pending !== undefined || node.diverged : node.pending.length > 0) return true;
    }
    return false;
  }

  createFile(folder: number, name: string): number {
    const empty = new FileImage();
    return this.#create(folder, name, {
      kind: 'file',
      owner: this.#token,
      image: new FileImage(),
      durable: empty,
      previous: empty,
      pending: undefined,
      pendingHost: 0,
      diverged: false,
      allocatedBytes: 0,
      names: 1,
    });
  }

  createFolder(folder: number, name: string): number {
    return this.#create(folder, name, newFolder(this.#token));
  }

  unlink(folder: number, name: string): void {
    const node = this.folder(folder).entries.get(name);
    assert(node !== undefined, 'what is unlinked is there');
    this.#change(folder, { sequence: this.nextSequence++, drop: name, add: undefined, node, peer: undefined });
    this.#countName(node, -1);
  }

  move(fromFolder: number, from: string, toFolder: number, to: string): void {
    const node = this.folder(fromFolder).entries.get(from);
    assert(node !== undefined, 'what is moved is there');
    const replaced = this.folder(toFolder).entries.get(to);
    const sequence = this.nextSequence++;
    if (fromFolder === toFolder) {
      this.#change(fromFolder, { sequence, drop: from, add: to, node, peer: undefined });
    } else {
      this.#change(fromFolder, { sequence, drop: from, add: undefined, node, peer: toFolder });
      this.#change(toFolder, { sequence, drop: undefined, add: to, node, peer: fromFolder });
    }
    if (replaced !== undefined) this.#countName(replaced, -1);
  }

  /** Bytes by which the file's space grows when it reaches to `end`. */
  growth(id: number, end: number): number {
    return Math.max(0, alignUp(end, PAGE_BYTES) - this.file(id).allocatedBytes);
  }

  /** Takes `bytes` over. */
  write(id: number, bytes: Uint8Array, position: number, host: number): void {
    const file = this.#own(id);
    file.image.write(bytes, position);
    this.#charge(file, position + bytes.length);
    this.#note(file, position, bytes.length, bytes, host);
  }

  writeZeros(id: number, position: number, length: number, host: number): void {
    const file = this.#own(id);
    file.image.writeZeros(position, length);
    this.#charge(file, position + length);
    this.#note(file, position, length, undefined, host);
  }

  setSize(id: number, sizeBytes: number, host: number): void {
    const file = this.#own(id);
    const before = file.image.sizeBytes;
    file.image.setSize(sizeBytes);
    if (sizeBytes < before) this.#release(file, sizeBytes);
    this.#charge(file, sizeBytes);
    this.#note(file, sizeBytes, Math.max(0, before - sizeBytes), undefined, host);
  }

  /** Blocks without bytes; the file grows, as fallocate has it. */
  allocate(id: number, end: number, host: number): void {
    const file = this.#own(id);
    if (end > file.image.sizeBytes) this.setSize(id, end, host);
    else this.#charge(file, end);
  }

  /** Makes data and size durable: all of it, or where several hosts wrote, what `host` wrote. */
  syncFile(id: number, host: number): void {
    const file = this.file(id);
    if (file.pending === undefined) return;
    const own = this.#own(id);
    if (own.diverged || own.pendingHost !== host) {
      syncPages(own, host);
      return;
    }
    own.previous = own.durable;
    own.durable = own.image;
    own.image = own.image.fork();
    own.pending = undefined;
  }

  /**
   * What ext4 does on a failed sync: the dirty pages count as clean, whether or not they reached the disk. Which did is
   * drawn here, for ever; the cache goes on showing them until `dropCaches`.
   */
  failSync(id: number, random: SeededRandom): void {
    if (this.file(id).pending === undefined) return;
    const file = this.#own(id);
    const durable = file.durable.fork();
    for (const write of oldestFirst(file.pending)) {
      if (!random.chance(0.5)) continue;
      applyTo(durable, write);
      durable.sizeBytes = write.sizeAfter;
    }
    durable.clearFrom(durable.sizeBytes);
    file.previous = file.durable;
    file.durable = durable;
    file.pending = undefined;
    file.diverged = true;
  }

  /** The cache forgets clean pages: what a failed sync lost is now seen to be lost. */
  dropCaches(): void {
    for (let id = 0; id < this.nodes.length; id++) {
      const node = this.nodes[id];
      if (node?.kind !== 'file' || !node.diverged) continue;
      const file = this.#own(id);
      file.image = file.durable.fork();
      for (const write of oldestFirst(file.pending)) replay(file.image, write);
      file.diverged = false;
    }
  }

  syncFolder(id: number): void {
    const folder = this.folder(id);
    if (folder.pending.length === 0) return;
    this.#settle(id, this.nextSequence);
  }

  /** Replaces bytes behind everybody's back: cache, durable state and all. */
  overwrite(id: number, bytes: Uint8Array, position: number): void {
    const file = this.#own(id);
    file.durable = file.durable.fork();
    for (const image of [file.image, file.durable]) {
      const size = image.sizeBytes;
      const fitting = Math.min(bytes.length, size - position);
      if (fitting > 0) image.write(bytes.slice(0, fitting), position);
    }
  }

  /** A file of this disk that may be changed. */
  #own(id: number): FileNode {
    const node = this.file(id);
    if (node.owner === this.#token) return node;
    const copy: FileNode = { ...node, owner: this.#token, image: node.image.fork() };
    this.nodes[id] = copy;
    return copy;
  }

  #ownFolder(id: number): FolderNode {
    const node = this.folder(id);
    if (node.owner === this.#token) return node;
    const copy: FolderNode = { ...node, owner: this.#token, entries: new Map(node.entries) };
    this.nodes[id] = copy;
    return copy;
  }

  #create(folder: number, name: string, node: DiskNode): number {
    const id = this.nodes.length;
    this.nodes.push(node);
    this.#change(folder, { sequence: this.nextSequence++, drop: undefined, add: name, node: id, peer: undefined });
    return id;
  }

  #change(id: number, change: FolderChange): void {
    const folder = this.#ownFolder(id);
    applyChange(folder.entries, change);
    folder.pending = [...folder.pending, change];
  }

  /** Makes the folder's changes up to `sequence` durable, and with a move its other half, as one journal would. */
  #settle(id: number, sequence: number): void {
    if (this.nodes[id]?.kind !== 'folder') return;
    const folder = this.#ownFolder(id);
    const settled = folder.pending.filter((change) => change.sequence <= sequence);
    if (settled.length === 0) return;
    folder.pending = folder.pending.filter((change) => change.sequence > sequence);
    folder.durable = new Map(folder.durable);
    for (const change of settled) {
      applyChange(folder.durable, change);
      if (change.peer !== undefined) this.#settle(change.peer, change.sequence);
    }
  }

  #note(file: FileNode, position: number, length: number, bytes: Uint8Array | undefined, host: number): void {
    file.pendingHost = file.pending === undefined || file.pendingHost === host ? host : -1;
    file.pending = { position, length, bytes, sizeAfter: file.image.sizeBytes, host, older: file.pending };
  }

  #charge(file: FileNode, end: number): void {
    const grown = alignUp(end, PAGE_BYTES) - file.allocatedBytes;
    if (grown <= 0) return;
    file.allocatedBytes += grown;
    if (file.names > 0) this.usedBytes += grown;
  }

  #release(file: FileNode, sizeBytes: number): void {
    const freed = file.allocatedBytes - alignUp(sizeBytes, PAGE_BYTES);
    if (freed <= 0) return;
    file.allocatedBytes -= freed;
    if (file.names > 0) this.usedBytes -= freed;
  }

  #countName(id: number, change: number): void {
    if (this.nodes[id]?.kind !== 'file') return;
    const file = this.#own(id);
    file.names += change;
    if (file.names === 0) this.usedBytes -= file.allocatedBytes;
  }
}

function newFolder(owner: object): FolderNode {
  return { kind: 'folder', owner, entries: new Map(), durable: new Map(), pending: [] };
}

/** The bytes of one step onto an image whose size somebody else sets afterwards. */
export function applyTo(image: FileImage, write: PendingWrite): void {
  if (write.bytes === undefined) image.writeZeros(write.position, write.length);
  else image.write(write.bytes, write.position);
}

/** One step with its size: bytes, growing and cutting. */
export function replay(image: FileImage, write: PendingWrite): void {
  applyTo(image, write);
  image.setSize(write.sizeAfter);
}

export function applyChange(entries: Map<string, number>, change: FolderChange): void {
  if (change.drop !== undefined) entries.delete(change.drop);
  if (change.add !== undefined) entries.set(change.add, change.node);
}

export function oldestFirst(newest: PendingWrite | undefined): PendingWrite[] {
  const writes: PendingWrite[] = [];
  for (let at = newest; at !== undefined; at = at.older) writes.push(at);
  return writes.reverse();
}

/** The slow form of a sync, page by page: others' unsynced pages stay at stake, and so does what a failed sync lost. */
function syncPages(file: FileNode, host: number): void {
  const pageSectors = PAGE_BYTES / SECTOR_BYTES;
  const durable = file.durable.fork();
  let left: PendingWrite | undefined;
  let sizeBytes = durable.sizeBytes;
  for (const write of oldestFirst(file.pending)) {
    if (write.host !== host) {
      left = { ...write, older: left };
      continue;
    }
    const first = Math.floor(write.position / PAGE_BYTES) * pageSectors;
    const end = Math.ceil((write.position + write.length) / PAGE_BYTES) * pageSectors;
    durable.copySectors(file.image, first, end);
    sizeBytes = write.sizeAfter;
  }
  durable.sizeBytes = sizeBytes;
  durable.clearFrom(sizeBytes);
  file.previous = file.durable;
  file.durable = durable;
  file.pending = left;
  file.pendingHost = left === undefined ? host : left.host;
  for (let at = left; at !== undefined; at = at.older) if (at.host !== file.pendingHost) file.pendingHost = -1;
}
