/** What happened on a simulated disk, in order: for people, and as one hash for "same seed, same trace". */

export type OperationKind =
  | 'open'
  | 'create'
  | 'status'
  | 'list'
  | 'createFolder'
  | 'remove'
  | 'removeFolder'
  | 'rename'
  | 'syncFolder'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'allocate'
  | 'lock';

export interface Operation {
  /** Counts all operations of the world, from 0. */
  readonly index: number;
  readonly kind: OperationKind;
  /** Number of the process, from 0 in the order of their starts. */
  readonly process: number;
  readonly path: string;
  readonly position: number;
  readonly length: number;
  /** Errno, or the name of the damage, of an injected fault. */
  fault: string | undefined;
}

/** Kinds that change what a crash would leave. */
export function isMutation(kind: OperationKind): boolean {
  switch (kind) {
    case 'open':
    case 'status':
    case 'list':
    case 'read':
    case 'lock':
      return false;
    default:
      return true;
  }
}

export class OperationTrace {
  /** Number of operations so far. */
  count = 0;
  hash = 0x811c9dc5;
  readonly #keep: number;
  #entries: Operation[] = [];

  /** Keeps the last `keep` operations; the hash covers all. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  add(operation: Operation): void {
    this.count++;
    this.#fold(hashText(operation.kind) ^ operation.process);
    this.#fold(hashText(operation.path));
    this.#fold(operation.position);
    this.#fold(operation.length);
    if (operation.fault !== undefined) this.#fold(hashText(operation.fault));
    if (this.#keep === 0) return;
    this.#entries.push(operation);
    if (this.#entries.length > this.#keep * 2) this.#entries = this.#entries.slice(-this.#keep);
  }

  /** Folds the bytes of a write or read in: a trace can then differ by content too. */
  addBytes(bytes: Uint8Array): void {
    let hash = bytes.length;
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
    this.#fold(hash);
  }

  get entries(): readonly Operation[] {
    return this.#entries.length > this.#keep ? this.#entries.slice(-this.#keep) : this.#entries;
  }

  /** The last `count` operations before `end`, one line each. */
  narrate(count = 40, end = this.count): string {
    return this.entries
      .filter((operation) => operation.index < end)
      .slice(-count)
      .map(describeOperation)
      .join('\n');
  }

  #fold(value: number): void {
    const low = Math.imul(this.hash ^ (value | 0), 0x01000193);
    this.hash = Math.imul(low ^ Math.floor(value / 0x1_0000_0000) ^ (low >>> 13), 0x9e3779b1) >>> 0;
  }
}

export function describeOperation(operation: Operation): string {
  const { index, process, kind, path, position, length, fault } = operation;
  const where = kind === 'read' || kind === 'write' ? ` ${position} + ${length}` : position > 0 ? ` ${position}` : '';
  return `#${index} p${process} ${kind} ${path}${where}${fault === undefined ? '' : ` !${fault}`}`;
}

const textHashes = new Map<string, number>();

/** Kinds and paths come again and again: each is hashed once. */
function hashText(text: string): number {
  const known = textHashes.get(text);
  if (known !== undefined) return known;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  if (textHashes.size > 10_000) textHashes.clear();
  textHashes.set(text, hash);
  return hash;
}
