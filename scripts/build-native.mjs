// Builds the native module for this machine into build/Release/sop.node, if its sources changed since the last build.
//
// Nothing is downloaded: the headers are those of the running Node. The binary is ABI-stable (Node-API), so what decides
// is a hash of the sources alone. It is built aside and moved into place, since overwriting a loaded library crashes the
// processes that use it.
//
//   node scripts/build-native.mjs [--force] [--verbose]
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BINARY = join(ROOT, 'build', 'Release', 'sop.node');
const STAMP = join(ROOT, 'build', 'Release', 'sop.node.sources');

/** Builds where needed; answers 'built' or 'current'. Throws an Error whose message says what to do. */
export function buildNative({ force = false, verbose = false } = {}) {
  const hash = hashOfSources();
  if (!force && existsSync(BINARY) && readIfThere(STAMP) === hash) return 'current';
  const headers = join(dirname(process.execPath), '..');
  if (process.platform !== 'win32' && !existsSync(join(headers, 'include', 'node', 'node_api.h'))) {
    throw new Error(`No Node headers at ${join(headers, 'include', 'node')}: use a Node installed with its headers.`);
  }
  const aside = join(ROOT, 'build', `native-${process.pid}`);
  try {
    prepare(aside);
    compile(aside, headers, verbose);
    mkdirSync(dirname(BINARY), { recursive: true });
    const fresh = `${BINARY}.${process.pid}`;
    copyFileSync(join(aside, 'build', 'Release', 'sop.node'), fresh);
    renameSync(fresh, BINARY);
    writeFileSync(STAMP, hash);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  return 'built';
}

function hashOfSources() {
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}`);
  const files = readdirSync(join(ROOT, 'native'))
    .sort()
    .map((name) => join('native', name));
  for (const file of ['binding.gyp', ...files])
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(ROOT, file)));
  return hash.digest('hex');
}

function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function prepare(aside) {
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  cpSync(join(ROOT, 'native'), join(aside, 'native'), { recursive: true });
  copyFileSync(join(ROOT, 'binding.gyp'), join(aside, 'binding.gyp'));
}

function compile(aside, headers, verbose) {
  const nodeGyp = createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js');
  const args = [nodeGyp, 'rebuild', '-j', 'max', ...(process.platform === 'win32' ? [] : [`--nodedir=${headers}`])];
  const run = spawnSync(process.execPath, args, { cwd: aside, encoding: 'utf8', stdio: verbose ? 'inherit' : 'pipe' });
  if (run.status === 0) return;
  const output = verbose ? '' : `${run.stdout}\n${run.stderr}`.trimEnd();
  const tool = /not found: make|make: not found|g\+\+: (command )?not found|find Python|find VS/i.test(output);
  const hint = tool
    ? 'A C++20 compiler, make and Python 3 are needed (Debian: apt-get install g++ make python3; macOS: xcode-select ' +
      '--install; Windows: Visual Studio Build Tools with "Desktop development with C++").'
    : 'The compiler refused the sources.';
  throw new Error(`The native module could not be built. ${hint}\n${output.split('\n').slice(-40).join('\n')}`);
}

if (process.argv[1] !== undefined && fileURLToPath(import.meta.url) === process.argv[1]) {
  const flags = new Set(process.argv.slice(2));
  try {
    const outcome = buildNative({ force: flags.has('--force'), verbose: flags.has('--verbose') });
    if (outcome === 'built') console.log('native module built: build/Release/sop.node');
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
