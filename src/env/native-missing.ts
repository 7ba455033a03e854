/** The error for work that needs the native module where there is none. */

import { NativeMissingError } from '../base/errors.ts';
import { addonFailure, platformName } from './addon.ts';

/** What is missing, on which platform, and what to do about it. */
export function nativeMissing(): NativeMissingError {
  const platform = platformName();
  return new NativeMissingError(
    `there is no native module of SOP for ${platform}, so databases can be read but not written; install a package ` +
      `that has prebuilds/${platform}/sop.node, or build it with a C++20 compiler: node scripts/build-native.mjs`,
    { details: { platform }, cause: addonFailure() },
  );
}
