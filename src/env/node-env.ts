/** The real world over the native module. */

import { installChecksum, portableCrc32c } from '../base/checksum.ts';
import { loadAddon, type NativeAddon } from './addon.ts';
import type { Env, Random } from './env.ts';
import { ioError } from './io-error.ts';
import { nativeMissing } from './native-missing.ts';
import { NodeFiles } from './node-files.ts';
import { systemClock, systemProcess, systemTimers } from './system-world.ts';

/** Below this the call into the native module costs more than the portable loop. */
const NATIVE_CHECKSUM_FROM_BYTES = 64;

let env: Env | undefined;

/** The one real environment of this thread. Throws `NativeMissingError` where there is no native module. */
export function nodeEnv(): Env {
  env ??= build(loadAddon());
  return env;
}

/** Whether `nodeEnv` works on this platform. */
export function hasNativeModule(): boolean {
  return loadAddon() !== undefined;
}

function build(addon: NativeAddon | undefined): Env {
  if (addon === undefined) throw nativeMissing();
  installChecksum(checksumOf(addon));
  return {
    files: new NodeFiles(addon),
    clock: systemClock,
    random: randomOf(addon),
    timers: systemTimers,
    process: systemProcess(),
  };
}

function checksumOf(addon: NativeAddon): (bytes: Uint8Array, start: number, end: number, seed: number) => number {
  const native = addon.crc32c;
  return (bytes, start, end, seed) =>
    end - start < NATIVE_CHECKSUM_FROM_BYTES
      ? portableCrc32c(bytes, start, end, seed)
      : native(bytes, start, end, seed);
}

/** Not node:crypto: loading it takes 3 ms, more than half of what opening a database may. */
function randomOf(addon: NativeAddon): Random {
  return {
    fill(bytes) {
      const result = addon.randomFill(bytes);
      if (result < 0) throw ioError('random', '', addon.errorName(-result & 0xffff));
    },
  };
}
