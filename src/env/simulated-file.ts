/**
 * An open file on the simulated disk. The synchronous calls take effect at once; an asynchronous one takes effect in an
 * event of its own, some virtual time after it was asked for, and is answered there or in yet another event, so that
 * others may see the effect before its caller hears of it.
 */

import { assert } from '../base/assert.ts';
import type { File, LockKind } from './env.ts';
import { type FileNode, ROOT_NODE } from './simulated-disk.ts';
import type { Fault } from './simulated-faults.ts';
import { PAGE_BYTES, SECTOR_BYTES } from './simulated-limits.ts';
import type { AppendTarget, ProcessPort } from './simulated-port.ts';
import type { OperationKind } from './simulated-trace.ts';

export class SimulatedFile implements File, AppendTarget {
  readonly path: string;
  readonly direct: boolean;
  readonly node: number;
  readonly process: ProcessPort;
  /** Asynchronous calls under way: a file with any must not be closed. */
  pendingCalls = 0;
  readonly #canWrite: boolean;
  #open = true;

  constructor(process: ProcessPort, path: string, node: number, canWrite: boolean, direct: boolean) {
    assert(node !== ROOT_NODE, 'the root is no file');
    this.process = process;
    this.path = path;
    this.node = node;
    this.direct = direct;
    this.#canWrite = canWrite;
  }

  sizeBytes(): number {
    this.#begin('status', 0, 0, false);
    const size = this.#file().image.sizeBytes;
    this.process.world.end(this.process);
    return size;
  }

  readSync(into: Uint8Array, position: number): number {
    this.#checkDirect('read', into, into.length, position);
    const fault = this.#begin('read', position, into.length, false);
    const { world } = this.process;
    const file = this.#file();
    const count = file.image.read(into, position);
    if (fault !== undefined && count > 0) this.#damageRead(fault, file, into.subarray(0, count), position);
    if (world.hashContents) world.trace.addBytes(into.subarray(0, count));
    world.end(this.process);
    return count;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.process.submit(this, () => this.readSync(into, position));
  }

  writeSync(from: Uint8Array, position: number): void {
    this.#checkDirect('write', from, from.length, position);
    // One copy for all pieces: from here on the disk owns it.
    const bytes = from.slice();
    const { world } = this.process;
    if (world.hashContents) world.trace.addBytes(bytes);
    for (let at = 0; at < bytes.length || at === 0; ) {
      const length = world.pieceLength(bytes.length - at);
      this.#writePiece(length === bytes.length ? bytes : bytes.subarray(at, at + length), position + at);
      at += length;
      if (length === 0) return;
    }
  }

  write(from: Uint8Array, position: number): Promise<void> {
    return this.process.submit(this, () => this.writeSync(from, position));
  }

  syncSync(): void {
    const { world, host } = this.process;
    const fault = this.#begin('sync', 0, 0, false);
    if (fault?.rule.error !== undefined) world.disk.failSync(this.node, world.faultRandom);
    if (fault?.rule.error !== undefined && world.faultRandom.chance(0.5)) world.disk.dropCaches();
    if (fault?.rule.error !== undefined) world.refuse(this.process, 'sync', fault.rule.error);
    if (fault?.rule.syncLies !== true) world.disk.syncFile(this.node, host);
    world.end(this.process);
  }

  sync(): Promise<void> {
    return this.process.submit(this, () => this.syncSync());
  }

  appendSync(from: Uint8Array, length: number, position: number, sealPosition: number): boolean {
    this.writeSync(from.subarray(0, length), position);
    this.syncSync();
    return this.sealIsZero(sealPosition);
  }

  /** The last third of an append. */
  sealIsZero(sealPosition: number): boolean {
    const seal = this.process.world.sealPage;
    seal.fill(0);
    this.readSync(seal, sealPosition);
    for (let i = 0; i < PAGE_BYTES; i++) if (seal[i] !== 0) return false;
    return true;
  }

  append(from: Uint8Array, length: number, position: number, sealPosition: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.process.appendLater({ file: this, from, length, position, sealPosition, resolve, reject });
    });
  }

  reserve(position: number, length: number): Promise<void> {
    return this.process.submit(this, () => {
      this.#checkDirect('write', undefined, length, position);
      this.#change('write', position, length, () => {
        this.process.world.disk.writeZeros(this.node, position, length, this.process.host);
      });
      this.syncSync();
    });
  }

  allocateSync(position: number, length: number): void {
    this.#change('allocate', position, length, () => {
      this.process.world.disk.allocate(this.node, position + length, this.process.host);
    });
  }

  truncateSync(sizeBytes: number): void {
    this.#change('truncate', sizeBytes, 0, () => {
      this.process.world.disk.setSize(this.node, sizeBytes, this.process.host);
    });
  }

  tryLock(kind: LockKind, position: number): boolean {
    this.#begin('lock', position, 0, false);
    const taken = this.process.world.locks.tryLock(this, kind, position);
    this.process.world.end(this.process);
    return taken;
  }

  unlock(position: number): void {
    this.process.mustLive();
    this.process.world.locks.unlock(this, position);
  }

  isLockedByOther(position: number): boolean {
    this.#begin('lock', position, 0, false);
    const locked = this.process.world.locks.isLockedByOther(this, position);
    this.process.world.end(this.process);
    return locked;
  }

  close(): void {
    if (!this.#open) return;
    assert(this.pendingCalls === 0 || !this.process.alive, `no call is pending on a file that is closed: ${this.path}`);
    this.#open = false;
    this.process.world.locks.dropOf(this);
  }

  #file(): FileNode {
    return this.process.world.disk.file(this.node);
  }

  /** Starts an operation; answers the fault to apply. Errors of all kinds but write and sync are thrown here. */
  #begin(kind: OperationKind, position: number, length: number, mustWrite: boolean): Fault | undefined {
    const { world } = this.process;
    const fault = world.begin(this.process, kind, this.path, position, length);
    if (!this.#open || (mustWrite && !this.#canWrite)) world.refuse(this.process, kind, 'EBADF');
    const error = fault?.rule.error;
    if (error !== undefined && kind !== 'write' && kind !== 'sync') world.refuse(this.process, kind, error);
    return fault;
  }

  #writePiece(bytes: Uint8Array, position: number): void {
    const { world, host } = this.process;
    const fault = this.#begin('write', position, bytes.length, true);
    const error = fault?.rule.error;
    if (error !== undefined) {
      const part = world.faultRandom.below(bytes.length / SECTOR_BYTES + 1) * SECTOR_BYTES;
      this.#writePart(bytes, position, part);
      world.refuse(this.process, 'write', error);
    }
    if (!world.hasRoom(this.node, position + bytes.length)) {
      this.#writePart(bytes, position, world.roomFor(this.node, position, bytes.length));
      world.refuse(this.process, 'write', 'ENOSPC');
    }
    const damage = fault?.rule.writeDamage;
    if (damage === 'misdirected') {
      const sectors = this.#file().image.sizeBytes / SECTOR_BYTES + 1;
      world.disk.write(this.node, bytes, world.faultRandom.below(sectors) * SECTOR_BYTES, host);
    } else if (damage === undefined) {
      world.disk.write(this.node, bytes, position, host);
    }
    world.end(this.process);
  }

  #writePart(bytes: Uint8Array, position: number, length: number): void {
    const { world, host } = this.process;
    if (length > 0) world.disk.write(this.node, bytes.slice(0, length), position, host);
  }

  #change(kind: OperationKind, position: number, length: number, change: () => void): void {
    const { world } = this.process;
    const fault = this.#begin(kind, position, length, true);
    if (fault?.rule.error !== undefined) world.refuse(this.process, kind, fault.rule.error);
    if (!world.hasRoom(this.node, position + length)) world.refuse(this.process, kind, 'ENOSPC');
    change();
    world.end(this.process);
  }

  #damageRead(fault: Fault, file: FileNode, bytes: Uint8Array, position: number): void {
    const random = this.process.world.faultRandom;
    const sector = Math.floor(random.below(bytes.length) / SECTOR_BYTES) * SECTOR_BYTES;
    switch (fault.rule.readDamage) {
      case 'flip': {
        const at = random.below(bytes.length);
        bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
        return;
      }
      case 'zero':
        bytes.fill(0, sector, sector + SECTOR_BYTES);
        return;
      case 'stale':
        bytes.fill(0);
        file.previous.read(bytes, position);
        return;
      case 'misdirected': {
        const elsewhere = random.below(file.image.sizeBytes / SECTOR_BYTES + 1) * SECTOR_BYTES;
        const part = bytes.subarray(sector, sector + SECTOR_BYTES);
        part.fill(0);
        file.image.read(part, elsewhere);
        return;
      }
      default:
    }
  }

  #checkDirect(operation: string, buffer: Uint8Array | undefined, length: number, position: number): void {
    if (!this.direct) return;
    const aligned = position % PAGE_BYTES === 0 && length % PAGE_BYTES === 0;
    if (!aligned || (buffer !== undefined && !this.process.world.isAligned(buffer))) {
      throw this.process.world.error(operation, this.path, 'EINVAL');
    }
  }
}
