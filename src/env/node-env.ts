/** The real world over the native module. */

import { installChecksum, portableCrc32c } from '../base/checksum.ts';
import { NativeMissingError } from '../base/errors.ts';
import { addonFailure, loadAddon, type NativeAddon, platformName } from './addon.ts';
import type { Env } from './env.ts';
import { NodeFiles } from './node-files.ts';
import { systemClock, systemProcess, systemRandom, systemTimers } from './system-world.ts';

/** Below this the call into the native module costs more than the portable loop. */
const NATIVE_CHECKSUM_FROM_BYTES = 96;

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

/** What is missing, on which platform, and what to do about it. */
export function nativeMissing(): NativeMissingError {
  const platform = platformName();
  return new NativeMissingError(
    `there is no native module of SOP for ${platform}, so this database can be read but not written; install a ` +
      `package that has prebuilds/${platform}/sop.node, or build it with a C++20 compiler: node scripts/build-native.mjs`,
    { details: { platform }, cause: addonFailure() },
  );
}

function build(addon: NativeAddon | undefined): Env {
  if (addon === undefined) throw nativeMissing();
  installChecksum(checksumOf(addon));
  return {
    files: new NodeFiles(addon),
    clock: systemClock,
    random: systemRandom,
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
