/**
 * What `npm pack` ships: the bundle, and the native module for this platform at least.
 *
 * A release is `npm run prebuilds && npm pack`: the cross builds run on old systems too, while a module built by this
 * machine's compiler runs on systems at least as new as this one. The latter is taken only where no newer prebuild is.
 */
import { copyFileSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bundle } from './bundle.mjs';
import { Stop } from './process.mjs';
import { root } from './setup.mjs';

function takeOwnBuild() {
  const built = join(root, 'build', 'Release', 'sop.node');
  const shipped = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'sop.node');
  const fresh = existsSync(shipped) && (!existsSync(built) || statSync(shipped).mtimeMs >= statSync(built).mtimeMs);
  if (fresh) return;
  if (!existsSync(built)) throw new Stop('there is no native module to ship: run `npm run prebuilds`.');
  mkdirSync(dirname(shipped), { recursive: true });
  copyFileSync(built, shipped);
  console.error(
    `sop pack: no newer prebuild for ${process.platform}-${process.arch}: this machine's own build is taken`,
  );
}

/** Everything `npm pack` needs in place; answers an exit code. */
export async function prepare() {
  await bundle();
  takeOwnBuild();
  return 0;
}
