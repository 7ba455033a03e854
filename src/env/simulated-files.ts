/** The simulated disk as one process sees it: names, folders, opening. */

import type { File, FileStatus, FileSystem, OpenOptions } from './env.ts';
import type { Errno } from './io-error.ts';
import { splitPath } from './path-names.ts';
import { ROOT_NODE } from './simulated-disk.ts';
import { SimulatedFile } from './simulated-file.ts';
import type { ProcessPort } from './simulated-port.ts';
import type { OperationKind } from './simulated-trace.ts';

const COPY_BYTES = 1024 * 1024;

interface Place {
  readonly folder: number;
  readonly name: string;
  /** The node at the name; undefined where there is none. */
  readonly node: number | undefined;
}

export class SimulatedFiles implements FileSystem {
  readonly readOnly: boolean;
  readonly #process: ProcessPort;

  constructor(process: ProcessPort, readOnly: boolean) {
    this.#process = process;
    this.readOnly = readOnly;
  }

  absolute(path: string): string {
    return path;
  }

  open(path: string, options: OpenOptions): File {
    const creates = options.mode === 'create';
    const kind = creates ? 'create' : 'open';
    this.#begin(kind, path, options.mode !== 'read');
    const { disk } = this.#process.world;
    const place = this.#place(kind, path);
    let node = place.node;
    if (creates) {
      if (node !== undefined) this.#refuse(kind, 'EEXIST');
      node = disk.createFile(place.folder, place.name);
    } else if (node === undefined) this.#refuse(kind, 'ENOENT');
    else if (disk.nodes[node]?.kind === 'folder') this.#refuse(kind, 'EISDIR');
    this.#end();
    const direct = options.direct === true && this.#process.world.grantsDirect;
    return new SimulatedFile(this.#process, path, node, options.mode !== 'read', direct);
  }

  status(path: string): FileStatus | undefined {
    this.#begin('status', path, false);
    const { disk } = this.#process.world;
    const id = disk.find(splitPath('status', path));
    const node = id === undefined ? undefined : disk.nodes[id];
    this.#end();
    if (node === undefined) return undefined;
    if (node.kind === 'folder') return { sizeBytes: 0, isFolder: true, links: 1 };
    return { sizeBytes: node.image.sizeBytes, isFolder: false, links: node.names };
  }

  /** No operation of its own in the trace: it reads what `status` does. */
  identity(path: string): string | undefined {
    this.#process.mustLive();
    const id = this.#process.world.disk.find(splitPath('status', path));
    return id === undefined ? undefined : String(id);
  }

  list(path: string): string[] {
    this.#begin('list', path, false);
    const names = [...this.#process.world.disk.folder(this.#folder('list', splitPath('list', path))).entries.keys()];
    this.#end();
    return names.sort();
  }

  createFolder(path: string): void {
    const names = splitPath('createFolder', path);
    let folder = ROOT_NODE;
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      const { disk } = this.#process.world;
      const there = disk.folder(folder).entries.get(name);
      if (there !== undefined && disk.nodes[there]?.kind === 'folder') {
        folder = there;
        continue;
      }
      this.#begin('createFolder', `/${names.slice(0, i + 1).join('/')}`, true);
      if (there !== undefined) this.#refuse('createFolder', 'ENOTDIR');
      const parent = folder;
      folder = disk.createFolder(parent, name);
      this.#end();
      this.syncFolderSync(`/${names.slice(0, i).join('/')}`);
    }
  }

  remove(path: string): void {
    this.#begin('remove', path, true);
    const place = this.#place('remove', path);
    if (place.node === undefined) this.#refuse('remove', 'ENOENT');
    if (this.#process.world.disk.nodes[place.node]?.kind === 'folder') this.#refuse('remove', 'EISDIR');
    this.#process.world.disk.unlink(place.folder, place.name);
    this.#end();
  }

  removeFolder(path: string): void {
    this.#begin('removeFolder', path, true);
    const place = this.#place('removeFolder', path);
    if (place.node === undefined) this.#refuse('removeFolder', 'ENOENT');
    const node = this.#process.world.disk.nodes[place.node];
    if (node?.kind !== 'folder') this.#refuse('removeFolder', 'ENOTDIR');
    if (node.entries.size > 0) this.#refuse('removeFolder', 'ENOTEMPTY');
    this.#process.world.disk.unlink(place.folder, place.name);
    this.#end();
  }

  rename(from: string, to: string): void {
    this.#begin('rename', from, true);
    const { disk } = this.#process.world;
    const source = this.#place('rename', from);
    const target = this.#place('rename', to);
    if (source.node === undefined) this.#refuse('rename', 'ENOENT');
    if (target.node !== undefined && target.node !== source.node) {
      const replaced = disk.nodes[target.node];
      const isFolder = disk.nodes[source.node]?.kind === 'folder';
      if (replaced?.kind === 'folder' && !isFolder) this.#refuse('rename', 'EISDIR');
      if (replaced?.kind === 'folder' && replaced.entries.size > 0) this.#refuse('rename', 'ENOTEMPTY');
      if (replaced?.kind === 'file' && isFolder) this.#refuse('rename', 'ENOTDIR');
    }
    if (target.node !== source.node) disk.move(source.folder, source.name, target.folder, target.name);
    this.#end();
  }

  syncFolderSync(path: string): void {
    this.#begin('syncFolder', path, false);
    this.#process.world.disk.syncFolder(this.#folder('syncFolder', splitPath('syncFolder', path)));
    this.#end();
  }

  syncFolder(path: string): Promise<void> {
    return this.#process.submit(undefined, () => this.syncFolderSync(path));
  }

  async copy(from: string, to: string): Promise<void> {
    const source = await this.#process.submit(undefined, () => this.open(from, { mode: 'read' }));
    try {
      const target = await this.#process.submit(undefined, () => this.open(to, { mode: 'create' }));
      try {
        const size = source.sizeBytes();
        const buffer = new Uint8Array(Math.min(size, COPY_BYTES));
        for (let at = 0; at < size; ) {
          const count = await source.read(buffer, at);
          if (count === 0) break;
          await target.write(buffer.subarray(0, count), at);
          at += count;
        }
        await target.sync();
      } finally {
        target.close();
      }
    } finally {
      source.close();
    }
  }

  freeBytes(_path: string): number {
    this.#process.mustLive();
    const { disk } = this.#process.world;
    return Math.max(0, disk.capacityBytes - disk.usedBytes);
  }

  allocate(sizeBytes: number): Uint8Array {
    return this.#process.world.allocateAligned(sizeBytes);
  }

  #begin(kind: OperationKind, path: string, writes: boolean): void {
    const fault = this.#process.world.begin(this.#process, kind, path, 0, 0);
    if (writes && this.readOnly) this.#refuse(kind, 'EROFS');
    if (fault?.rule.error !== undefined) this.#refuse(kind, fault.rule.error);
  }

  #refuse(kind: OperationKind, errno: Errno): never {
    return this.#process.world.refuse(this.#process, kind, errno);
  }

  #end(): void {
    this.#process.world.end(this.#process);
  }

  #place(kind: OperationKind, path: string): Place {
    const names = splitPath(kind, path);
    const name = names.pop();
    if (name === undefined) this.#refuse(kind, 'EISDIR');
    const folder = this.#folder(kind, names);
    return { folder, name, node: this.#process.world.disk.folder(folder).entries.get(name) };
  }

  #folder(kind: OperationKind, names: readonly string[]): number {
    const id = this.#process.world.disk.find(names);
    if (id === undefined) this.#refuse(kind, 'ENOENT');
    if (this.#process.world.disk.nodes[id]?.kind !== 'folder') this.#refuse(kind, 'ENOTDIR');
    return id;
  }
}
