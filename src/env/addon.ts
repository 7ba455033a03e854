/**
 * Finds and loads the native module. Its functions take and answer numbers; `native/addon.cc` is the other side.
 *
 * Looked for in turn: the file named by the environment variable SOP_NATIVE ('off' stands for none), the developer's own
 * build, the prebuilt binaries of the package. The same code runs from `src/env/` and from a bundle in `dist/`.
 */

import { fs } from './builtin.ts';

/** The number in `native/addon.cc`; a binary of another one is passed over. */
const INTERFACE_VERSION = 2;

/** Below zero: a failure, -(stage << 16 | errno). At or above: the answer. */
export type Result = number;

export interface NativeAddon {
  readonly interfaceVersion: number;
  readonly hasHardwareCrc32c: boolean;
  /** `mode`: 0 read, 1 write, 2 create. Answers a handle. */
  open(path: string, mode: number, direct: number): Result;
  close(handle: number): Result;
  isDirect(handle: number): Result;
  size(handle: number): Result;
  readSync(handle: number, into: Uint8Array, position: number): Result;
  readPooled(handle: number, into: Uint8Array, position: number): Promise<Result>;
  writeSync(handle: number, from: Uint8Array, position: number): Result;
  writePooled(handle: number, from: Uint8Array, position: number): Promise<Result>;
  syncSync(handle: number): Result;
  syncPooled(handle: number): Promise<Result>;
  /** Once, before the first `append`: `deliver(count)` is called with `count` pairs of (id, result) in `pairs`. */
  startAppends(deliver: (count: number) => void, pairs: Int32Array): Result;
  appendSync(handle: number, from: Uint8Array, length: number, position: number, sealPosition: number): Result;
  append(handle: number, id: number, from: Uint8Array, length: number, position: number, sealPosition: number): Result;
  /** Appends given after a failed one fail too until this call. */
  appendFailureSeen(handle: number): Result;
  reservePooled(handle: number, position: number, length: number): Promise<Result>;
  allocateSync(handle: number, position: number, length: number): Result;
  truncateSync(handle: number, size: number): Result;
  tryLock(handle: number, exclusive: number, position: number): Result;
  unlock(handle: number, position: number): Result;
  isLockedByOther(handle: number, position: number): Result;
  syncFolderSync(path: string): Result;
  syncFolderPooled(path: string): Promise<Result>;
  allocate(sizeBytes: number): Uint8Array;
  crc32c(bytes: Uint8Array, start: number, end: number, seed: number): number;
  crc32cPortable(bytes: Uint8Array, start: number, end: number, seed: number): number;
  randomFill(into: Uint8Array): Result;
  errorName(errno: number): string;
}

let loaded: NativeAddon | undefined;
let tried = false;
let failure: unknown;

/**
 * The native module, or undefined where there is none for this platform. Loaded once per thread; asked for again where the process
 * was only out of descriptors or memory.
 */
export function loadAddon(): NativeAddon | undefined {
  if (!tried) {
    const paths = candidates();
    loaded = firstThatLoads(paths);
    tried = loaded !== undefined || !paths.some(isShortOfMeans);
  }
  return loaded;
}

/** Whether the file can not even be opened for now. */
function isShortOfMeans(path: string): boolean {
  try {
    fs.closeSync(fs.openSync(path, 'r'));
    return false;
  } catch (error) {
    return ['EMFILE', 'ENFILE', 'ENOMEM'].includes(String((error as NodeJS.ErrnoException).code));
  }
}

/** Why the last candidate that was there did not load; for the message of `NativeMissingError`. */
export function addonFailure(): unknown {
  return failure;
}

/** The name of the folder in `prebuilds/`. */
export function platformName(): string {
  return `${process.platform}-${process.arch}`;
}

function candidates(): string[] {
  const override = process.env.SOP_NATIVE;
  if (override === 'off') return [];
  if (override !== undefined && override !== '') return [override];
  const found: string[] = [];
  // dist/ lies one level below the package's root, src/env/ two.
  for (const root of [`${import.meta.dirname}/..`, `${import.meta.dirname}/../..`]) {
    found.push(`${root}/build/Release/sop.node`);
    found.push(`${root}/prebuilds/${platformName()}/sop.node`);
    // A system with musl refuses the first one and takes this.
    if (process.platform === 'linux') found.push(`${root}/prebuilds/${platformName()}-musl/sop.node`);
  }
  return found.filter((path) => fs.existsSync(path));
}

function firstThatLoads(paths: string[]): NativeAddon | undefined {
  for (const path of paths) {
    try {
      const box: { exports: Partial<NativeAddon> } = { exports: {} };
      process.dlopen(box as unknown as NodeJS.Module, path);
      if (box.exports.interfaceVersion === INTERFACE_VERSION) return box.exports as NativeAddon;
      failure = new Error(`${path} was built for another version of this package`);
    } catch (error) {
      failure = error;
    }
  }
  return undefined;
}
