/**
 * A whole world under one seed: a disk that forgets what was not synced, processes on hosts, virtual time, faults on
 * order. What happens in it is a function of the seed and of the code that runs in it, so whatever is found can be had
 * again.
 *
 *   const world = new SimulatedWorld(42);
 *   const process = world.startProcess();          // an Env
 *   await world.run(async () => { ... });          // drives virtual time until the promise settles
 *   world.fail({ operation: 'sync', nth: 3, error: 'EIO' });
 *   world.crash({ data: 'torn', folders: 'subset', seed: 7 });   // power cut: all processes die
 *
 * Invariants:
 *  1. Nothing here reads the real clock, chance or disk.
 *  2. A dead process does nothing: its synchronous calls throw `ProcessKilledError`, its events are dropped, its
 *     asynchronous calls never settle.
 *  3. One operation is under way at a time, and every one passes `begin` and then `end` or `refuse`.
 */

import type { SopError } from '../base/errors.ts';
import { ioError } from './io-error.ts';
import { splitPath } from './path-names.ts';
import { crashDisk, type PowerCut } from './simulated-crash.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { Fault, type FaultRule } from './simulated-faults.ts';
import { PAGE_BYTES, SECTOR_BYTES } from './simulated-limits.ts';
import { SimulatedLocks } from './simulated-locks.ts';
import type { ProcessPort } from './simulated-port.ts';
import { type ProcessOptions, type ProcessWorld, SimulatedProcess } from './simulated-process.ts';
import { SeededRandom } from './simulated-random.ts';
import { SimulatedScheduler } from './simulated-scheduler.ts';
import { type Operation, type OperationKind, OperationTrace } from './simulated-trace.ts';

export interface SimulatedWorldOptions {
  /** The disk to start from; it is used itself, not a fork of it. Default: an empty one. */
  readonly disk?: SimulatedDisk;
  /** How many operations `trace` keeps for people. Default 10,000; 0 for the fastest runs. */
  readonly traceLength?: number;
  /** Bytes written and read go into the hash of the trace too. */
  readonly hashContents?: boolean;
  /** Whether direct I/O is granted (and its alignment demanded). Default true. */
  readonly direct?: boolean;
  /** How often a write is cut in two, as a short write is. Default 0.05. */
  readonly shortWriteChance?: number;
  /** Usual time of an asynchronous operation; each takes 0.2 to 2 of it, one in a hundred 50. Default 0.1. */
  readonly latencyMs?: number;
}

export class SimulatedWorld implements ProcessWorld {
  readonly seed: number;
  readonly scheduler = new SimulatedScheduler();
  readonly trace: OperationTrace;
  readonly locks = new SimulatedLocks();
  readonly faultRandom: SeededRandom;
  readonly processes: SimulatedProcess[] = [];
  readonly hashContents: boolean;
  readonly grantsDirect: boolean;
  disk: SimulatedDisk;
  /** Called after each operation took effect; may kill, crash, pause or take `world.snapshot()`. */
  onOperation: ((index: number, operation: Operation) => void) | undefined;
  readonly #random: SeededRandom;
  readonly #latencyMs: number;
  readonly #shortWriteChance: number;
  readonly #hosts: string[] = [];
  readonly #aligned = new WeakSet<ArrayBufferLike>();
  /** Where seals are read to: nobody looks at it later. */
  readonly sealPage = this.allocateAligned(PAGE_BYTES);
  #faults: Fault[] = [];
  #current: Operation | undefined;

  constructor(seed: number, options: SimulatedWorldOptions = {}) {
    this.seed = seed;
    this.#random = new SeededRandom(seed);
    this.faultRandom = this.#random.fork();
    this.disk = options.disk ?? new SimulatedDisk();
    this.trace = new OperationTrace(options.traceLength ?? 10_000);
    this.hashContents = options.hashContents ?? false;
    this.grantsDirect = options.direct ?? true;
    this.#shortWriteChance = options.shortWriteChance ?? 0.05;
    this.#latencyMs = options.latencyMs ?? 0.1;
  }

  /** Number of operations so far: the index of the next one. */
  get operationCount(): number {
    return this.trace.count;
  }

  startProcess(options: ProcessOptions = {}): SimulatedProcess {
    const name = options.host ?? 'host-0';
    let host = this.#hosts.indexOf(name);
    if (host < 0) host = this.#hosts.push(name) - 1;
    const process = new SimulatedProcess(this, this.processes.length, host, name, options, this.#random.fork());
    this.processes.push(process);
    return process;
  }

  /** Runs `body` and everything it waits for. Other processes' events run along as their time comes. */
  async run<T>(body: () => Promise<T> | T): Promise<T> {
    if (this.scheduler.isDriving) return body();
    const running = runBody(body);
    await this.scheduler.drive(() => running.settled);
    return running.promise;
  }

  /** As `run`, for code that may be killed: answers undefined where `process` died before `body` ended. */
  async runUnlessKilled<T>(process: SimulatedProcess, body: () => Promise<T> | T): Promise<T | undefined> {
    const running = runBody(body);
    await this.scheduler.drive(() => running.settled || !process.alive);
    return process.alive ? running.promise : undefined;
  }

  /** Runs until nothing but timers is left. */
  runUntilIdle(): Promise<void> {
    return this.scheduler.drive(() => this.scheduler.foregroundCount === 0);
  }

  /** Lets virtual time pass, timers included. */
  async advance(ms: number): Promise<void> {
    const until = this.scheduler.nowMs + ms;
    await this.scheduler.drive(() => !this.scheduler.hasEventBefore(until), until);
    this.scheduler.nowMs = Math.max(this.scheduler.nowMs, until);
  }

  /** The disk as of now, to keep; costs one array of pointers. */
  snapshot(): SimulatedDisk {
    return this.disk.fork();
  }

  fail(rule: FaultRule): Fault {
    const fault = new Fault(rule);
    this.#faults.push(fault);
    return fault;
  }

  clearFaults(): void {
    this.#faults = [];
  }

  /** Power cut: every process dies (with `cut.host` those of that host), and the disk keeps what the cut leaves. */
  crash(cut: PowerCut): void {
    for (const process of this.processes) {
      if (cut.host === undefined || process.host === cut.host) process.kill();
    }
    this.disk = crashDisk(this.disk, cut).disk;
  }

  /** Changes bytes of a file behind everybody's back. */
  corrupt(path: string, position: number, length: number, edit: (bytes: Uint8Array) => void): void {
    corruptDisk(this.disk, path, position, length, edit);
  }

  flipBit(path: string, position: number, bit = this.faultRandom.below(8)): void {
    this.corrupt(path, position, 1, (bytes) => {
      bytes[0] = (bytes[0] as number) ^ (1 << bit);
    });
  }

  /** Network storage forgets locks while their holders live on. */
  loseLocks(path?: string): void {
    this.locks.dropWhere((file) => path === undefined || file.path === path);
  }

  // ---- what processes and files call

  begin(process: ProcessPort, kind: OperationKind, path: string, position: number, length: number): Fault | undefined {
    process.mustLive();
    const index = this.trace.count;
    const operation: Operation = { index, kind, process: process.index, path, position, length, fault: undefined };
    this.#current = operation;
    if (this.#faults.length === 0) return undefined;
    const fault = this.#faultFor(operation);
    if (fault !== undefined) operation.fault = fault.name;
    return fault;
  }

  end(process: ProcessPort): void {
    const operation = this.#current as Operation;
    this.#current = undefined;
    this.trace.add(operation);
    if (this.onOperation === undefined) return;
    this.onOperation(operation.index, operation);
    process.mustLive();
  }

  refuse(process: ProcessPort, kind: OperationKind, errno: string): never {
    const operation = this.#current as Operation;
    operation.fault = errno;
    this.end(process);
    throw ioError(kind, operation.path, errno);
  }

  error(operation: string, path: string, errno: string): SopError {
    return ioError(operation, path, errno);
  }

  pieceLength(length: number): number {
    if (length <= SECTOR_BYTES || !this.#random.chance(this.#shortWriteChance)) return length;
    return (1 + this.#random.below(Math.floor((length - 1) / SECTOR_BYTES))) * SECTOR_BYTES;
  }

  hasRoom(node: number, end: number): boolean {
    return this.disk.growth(node, end) <= this.disk.capacityBytes - this.disk.usedBytes;
  }

  roomFor(node: number, position: number, length: number): number {
    const missing = this.disk.growth(node, position + length) - (this.disk.capacityBytes - this.disk.usedBytes);
    const pages = Math.ceil(missing / PAGE_BYTES) * PAGE_BYTES;
    return Math.max(0, Math.floor((length - pages) / SECTOR_BYTES) * SECTOR_BYTES);
  }

  latencyMs(): number {
    const usual = this.#latencyMs * (0.2 + 1.8 * this.#random.fraction());
    return this.#random.below(100) === 0 ? usual * 50 : usual;
  }

  answersLater(): boolean {
    return this.#random.chance(0.3);
  }

  allocateAligned(sizeBytes: number): Uint8Array {
    const bytes = new Uint8Array(sizeBytes);
    this.#aligned.add(bytes.buffer);
    return bytes;
  }

  isAligned(buffer: Uint8Array): boolean {
    return this.#aligned.has(buffer.buffer) && buffer.byteOffset % PAGE_BYTES === 0;
  }

  #faultFor(operation: Operation): Fault | undefined {
    let found: Fault | undefined;
    for (const fault of this.#faults) {
      if (fault.matches(operation, () => this.faultRandom.fraction())) found ??= fault;
    }
    if (found?.active === false) this.#faults = this.#faults.filter((fault) => fault.active);
    return found;
  }
}

/** Changes bytes of a file on a disk that nobody runs on. */
export function corruptDisk(
  disk: SimulatedDisk,
  path: string,
  position: number,
  length: number,
  edit: (bytes: Uint8Array) => void,
): void {
  const node = disk.find(splitPath('corrupt', path));
  if (node === undefined) throw ioError('corrupt', path, 'ENOENT');
  const bytes = new Uint8Array(length);
  disk.file(node).image.read(bytes, position);
  edit(bytes);
  disk.overwrite(node, bytes, position);
}

interface Running<T> {
  readonly promise: Promise<T>;
  settled: boolean;
}

function runBody<T>(body: () => Promise<T> | T): Running<T> {
  const promise = (async () => body())();
  const running: Running<T> = { promise, settled: false };
  const settle = (): void => {
    running.settled = true;
  };
  promise.then(settle, settle);
  return running;
}
