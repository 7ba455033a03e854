/** What the files of a simulated world see of their process and world; keeps the imports free of circles. */

import type { SopError } from '../base/errors.ts';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { Fault } from './simulated-faults.ts';
import type { SimulatedLocks } from './simulated-locks.ts';
import type { SeededRandom } from './simulated-random.ts';
import type { OperationKind, OperationTrace } from './simulated-trace.ts';

export interface ProcessPort {
  readonly world: WorldPort;
  readonly alive: boolean;
  readonly host: number;
  readonly index: number;
  /** Throws `ProcessKilledError` where the process is dead. */
  mustLive(): void;
  submit<T>(file: CallCounter | undefined, effect: () => T): Promise<T>;
  appendLater(job: AppendJob): void;
}

/**
 * Every operation: `begin` (answers the fault to apply), the effect, then `end`, or `refuse` with an errno.
 */
export interface WorldPort {
  readonly disk: SimulatedDisk;
  readonly trace: OperationTrace;
  readonly locks: SimulatedLocks;
  readonly faultRandom: SeededRandom;
  readonly hashContents: boolean;
  readonly grantsDirect: boolean;
  begin(process: ProcessPort, kind: OperationKind, path: string, position: number, length: number): Fault | undefined;
  end(process: ProcessPort): void;
  refuse(process: ProcessPort, kind: OperationKind, errno: string): never;
  error(operation: string, path: string, errno: string): SopError;
  /** How much of a write the system takes at once. */
  pieceLength(length: number): number;
  hasRoom(node: number, end: number): boolean;
  /** The part of a write that a nearly full disk still takes. */
  roomFor(node: number, position: number, length: number): number;
  allocateAligned(sizeBytes: number): Uint8Array;
  /** Where seals are read to. */
  readonly sealPage: Uint8Array;
  isAligned(buffer: Uint8Array): boolean;
}

/** Counts its asynchronous calls under way, so that closing with any is noticed. */
export interface CallCounter {
  pendingCalls: number;
}

export interface AppendTarget extends CallCounter {
  writeSync(from: Uint8Array, position: number): void;
  syncSync(): void;
  /** The last third of an append. */
  sealIsZero(sealPosition: number): boolean;
}

/** One job of a process's log thread. */
export interface AppendJob {
  readonly file: AppendTarget;
  readonly from: Uint8Array;
  readonly length: number;
  readonly position: number;
  readonly sealPosition: number;
  readonly resolve: (sealIsZero: boolean) => void;
  readonly reject: (error: unknown) => void;
}
