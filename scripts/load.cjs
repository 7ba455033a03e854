/**
 * Loads the code of the library (sop.cjs beside it). Shipped as it is, but for BUILD.
 *
 * Where the program has Node keep compiled code (`module.enableCompileCache()`), all functions that ran are kept there, not only what
 * was compiled while loading: without that the first open and the first get cost twice as much, since each function on the way
 * is compiled when it is first called. V8 refuses what another version or other flags made, but believes damaged bytes: they are kept
 * twice and compared, which costs less than loading any checksum of Node's. Whatever goes wrong, the code is loaded as any module.
 */
'use strict';
const { readFileSync, renameSync, statSync, writeFileSync } = require('node:fs');
const Module = require('node:module');
const { join } = require('node:path');
const { Script, constants } = require('node:vm');

/** A checksum of sop.cjs, put in by the build: V8 itself compares no more than its length. */
const BUILD = '0';
/** By then a program has usually opened its database; one that ends before keeps what it compiled at its end. */
const KEEP_AFTER_MS = 3000;

const file = join(__dirname, 'sop.cjs');
const folder = Module.getCompileCacheDir?.();
module.exports = folder === undefined || process.sourceMapsEnabled ? require(file) : load(folder);

function load(folder) {
  const path = join(folder, `sop-${BUILD}-${Math.round(statSync(file).mtimeMs)}`);
  const cachedData = read(path);
  const script = new Script(Module.wrap(readFileSync(file, 'latin1')), {
    filename: file,
    cachedData,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const loaded = { exports: {} };
  script.runInThisContext()(loaded.exports, Module.createRequire(file), loaded, file, __dirname);
  if (cachedData === undefined || script.cachedDataRejected) keepLater(script, path);
  return loaded.exports;
}

/** The compiled code kept under `path`; undefined where there is none that is whole. */
function read(path) {
  try {
    const bytes = readFileSync(path);
    const half = bytes.length / 2;
    const data = bytes.subarray(0, half);
    return half > 0 && data.equals(bytes.subarray(half)) ? data : undefined;
  } catch {
    return undefined;
  }
}

function keepLater(script, path) {
  const keep = () => {
    clearTimeout(timer);
    process.off('exit', keep);
    try {
      const data = script.createCachedData();
      const temporary = `${path}.${process.pid}`;
      writeFileSync(temporary, Buffer.concat([data, data]), { mode: 0o600 });
      renameSync(temporary, path);
    } catch {
      // It is compiled again the next time.
    }
  };
  const timer = setTimeout(keep, KEEP_AFTER_MS);
  timer.unref();
  process.on('exit', keep);
}
