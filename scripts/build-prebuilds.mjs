// Builds the native module for every platform on one machine, into prebuilds/<platform>-<arch>/sop.node.
//
//   node scripts/build-prebuilds.mjs [platform-arch ...]        all where none is named
//
// Cross-compiles with zig, which carries the C and C++ libraries and system headers of all targets. It is looked for in the
// environment variable ZIG (a program, or several words), on the PATH, and as the Python package `ziglang`.
// On Linux the binaries ask for glibc 2.28 (2018) at most; the C++ library is linked in everywhere.
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const HEADERS = createRequire(import.meta.url)('node-api-headers');
const WORK = join(ROOT, 'build', 'prebuilds');

/** `machine` and `format` are what the finished file must say of itself. */
const TARGETS = {
  'linux-x64': { zig: 'x86_64-linux-gnu.2.28', format: 'elf', machine: 0x3e },
  'linux-arm64': { zig: 'aarch64-linux-gnu.2.28', format: 'elf', machine: 0xb7 },
  'linux-x64-musl': { zig: 'x86_64-linux-musl', format: 'elf', machine: 0x3e },
  'linux-arm64-musl': { zig: 'aarch64-linux-musl', format: 'elf', machine: 0xb7 },
  'darwin-x64': { zig: 'x86_64-macos.11.0', format: 'macho', machine: 0x01000007 },
  'darwin-arm64': { zig: 'aarch64-macos.11.0', format: 'macho', machine: 0x0100000c },
  'win32-x64': { zig: 'x86_64-windows-gnu', format: 'pe', machine: 0x8664, dlltool: 'i386:x86-64' },
  'win32-arm64': { zig: 'aarch64-windows-gnu', format: 'pe', machine: 0xaa64, dlltool: 'arm64' },
};

function findZig() {
  const ways = [
    process.env.ZIG?.split(' ').filter(Boolean),
    ['zig'],
    ['python3', '-m', 'ziglang'],
    ['python', '-m', 'ziglang'],
  ];
  for (const way of ways) {
    if (way === undefined || way.length === 0) continue;
    const run = spawnSync(way[0], [...way.slice(1), 'version'], { encoding: 'utf8' });
    if (run.status === 0) return way;
  }
  throw new Error(
    'zig is not here: pip install ziglang (and name it with ZIG="python3 -m ziglang"), or put zig on the PATH',
  );
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], [...command.slice(1), ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`${args.join(' ')}\n${output}`))));
  });
}

function sources() {
  return readdirSync(join(ROOT, 'native'))
    .filter((name) => name.endsWith('.cc'))
    .sort()
    .map((name) => join('native', name));
}

/** The import library that stands for node.exe. A program that embeds Node under another name needs a build of its own. */
async function importLibrary(zig, target, folder) {
  const symbols = Object.values(HEADERS.symbols).flatMap((version) => [
    ...version.js_native_api_symbols,
    ...version.node_api_symbols,
  ]);
  const definition = join(folder, 'node.def');
  writeFileSync(definition, `NAME NODE.EXE\nEXPORTS\n${[...new Set(symbols)].sort().join('\n')}\n`);
  const library = join(folder, 'node.lib');
  await run(zig, ['dlltool', '-d', definition, '-m', target.dlltool, '-l', library]);
  return library;
}

async function build(zig, name) {
  const target = TARGETS[name];
  const folder = join(WORK, name);
  mkdirSync(folder, { recursive: true });
  const out = join(folder, 'sop.node');
  const args = [
    'c++',
    '-target',
    target.zig,
    '-shared',
    '-O2',
    '-std=c++20',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-fvisibility=hidden',
  ];
  args.push('-DNAPI_VERSION=8', '-DNODE_GYP_MODULE_NAME=sop', '-DBUILDING_NODE_EXTENSION', '-D_GNU_SOURCE');
  args.push(`-I${HEADERS.include_dir}`, ...sources(), '-o', out);
  if (target.format === 'elf')
    args.push('-fPIC', '-s', '-Wl,-z,relro,-z,now', '-Wl,--version-script=native/exports.map');
  if (target.format === 'macho') args.push('-Wl,-undefined,dynamic_lookup', '-s');
  if (target.format === 'pe') {
    args.push('-DNOMINMAX', '-DWIN32_LEAN_AND_MEAN', '-DUNICODE', '-D_UNICODE', '-D_WIN32_WINNT=0x0a00', '-s');
    args.push(await importLibrary(zig, target, folder), '-lbcrypt');
  }
  await run(zig, args);
  check(out, target);
  const place = join(ROOT, 'prebuilds', name);
  mkdirSync(place, { recursive: true });
  renameSync(out, join(place, 'sop.node'));
  return statSync(join(place, 'sop.node')).size;
}

/** A cross-compiler that quietly built for its own machine would be found out by users only. */
function check(path, target) {
  const head = Buffer.alloc(4096);
  const fd = openSync(path, 'r');
  readSync(fd, head, 0, head.length, 0);
  closeSync(fd);
  const found = formatOf(head);
  if (found.format !== target.format || found.machine !== target.machine) {
    throw new Error(`${path} is ${found.format} for machine 0x${found.machine.toString(16)}`);
  }
}

function formatOf(head) {
  if (head.readUInt32BE(0) === 0x7f454c46) return { format: 'elf', machine: head.readUInt16LE(18) };
  if (head.readUInt32LE(0) === 0xfeedfacf) return { format: 'macho', machine: head.readUInt32LE(4) };
  if (head.toString('latin1', 0, 2) === 'MZ')
    return { format: 'pe', machine: head.readUInt16LE(head.readUInt32LE(60) + 4) };
  return { format: 'unknown', machine: 0 };
}

async function main() {
  const asked = process.argv.slice(2);
  for (const name of asked) {
    if (TARGETS[name] === undefined)
      throw new Error(`unknown target ${name}; known: ${Object.keys(TARGETS).join(', ')}`);
  }
  const names = asked.length > 0 ? asked : Object.keys(TARGETS);
  const zig = findZig();
  process.env.ZIG_GLOBAL_CACHE_DIR ??= join(tmpdir(), 'zig-cache');
  process.env.ZIG_LOCAL_CACHE_DIR ??= join(tmpdir(), 'zig-cache');
  const failures = [];
  const waiting = [...names];
  const work = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      try {
        const size = await build(zig, name);
        console.log(`prebuilds/${name}/sop.node  ${Math.round(size / 1024)} KiB`);
      } catch (error) {
        failures.push(name);
        console.error(`${name} failed: ${error.message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
  rmSync(WORK, { recursive: true, force: true });
  if (failures.length > 0) throw new Error(`not built: ${failures.join(', ')}`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
