/**
 * Makes `dist/`: what is shipped. Opening a database is mostly loading code, so each door is one file:
 *
 *   sop.cjs      the engine and every public name; the only copy of the code
 *   load.cjs     loads it, from compiled code that was kept where the program wants that
 *   index.cjs    the names for `require`
 *   index.mjs    the same names for `import`, taken from index.cjs: a program that imports and requires has one engine
 *   engine.*     the door for database builders, where src/engine.ts exists; shares sop.cjs
 *   cli.mjs      the command `sop`: a few lines that have Node keep the compiled form of command.mjs between runs
 *   command.mjs  the command, complete in itself
 *   types/       the declarations, CommonJS-flavoured like the code; index.d.mts is their `import` side
 *
 * `node scripts/bundle.mjs [--source <folder>] [--out <folder>]`
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { crc32 } from 'node:zlib';
import { build } from 'esbuild';
import { run, Stop, seconds } from './process.mjs';
import { root } from './setup.mjs';

/** Optional peers are loaded when asked for, from where the application installed them. */
const external = ['ioredis', 'cassandra-driver'];

const common = {
  bundle: true,
  platform: 'node',
  target: 'node22.12',
  external,
  // Comments and white space only cost loading time (12 ms for 430 KiB). Names stay: errors take theirs from their class,
  // stack traces are for people, and shortening them would save a sixth. ASCII keeps the source one byte a character.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  charset: 'ascii',
  // For `node --enable-source-maps`; read by nobody else.
  sourcemap: 'linked',
  sourcesContent: false,
  logLevel: 'warning',
};

/** In a CommonJS bundle `import.meta` has to be made up from what CommonJS knows about its file. */
const importMeta = {
  define: {
    'import.meta.url': '__importMetaUrl',
    'import.meta.filename': '__filename',
    'import.meta.dirname': '__dirname',
  },
  banner: { js: "const __importMetaUrl=require('node:url').pathToFileURL(__filename).href;" },
};

const doorNames = ['index', 'engine'];

async function bundleDoors(source, out) {
  const names = doorNames.filter((name) => existsSync(join(source, `${name}.ts`)));
  const only = names.length === 1;
  const entry = only
    ? `export * from './index.ts';`
    : names.map((name) => `export * as ${name} from './${name}.ts';`).join('\n');
  const shared = join(out, 'sop.cjs');
  await build({
    ...common,
    ...importMeta,
    stdin: { contents: entry, resolveDir: source, sourcefile: 'doors.ts', loader: 'ts' },
    format: 'cjs',
    outfile: shared,
  });
  const load = readFileSync(join(import.meta.dirname, 'load.cjs'), 'utf8');
  const sum = crc32(readFileSync(shared)).toString(16);
  writeFileSync(join(out, 'load.cjs'), load.replace("BUILD = '0'", `BUILD = '${sum}'`));
  const loaded = createRequire(pathToFileURL(shared))(shared);
  for (const name of names) {
    const members = Object.keys(only ? loaded : loaded[name]).sort();
    const part = only ? '' : `.${name}`;
    writeFileSync(join(out, `${name}.cjs`), `module.exports = require('./load.cjs')${part};\n`);
    writeFileSync(
      join(out, `${name}.mjs`),
      `import all from './${name}.cjs';\n${members.map((member) => `export const ${member} = all.${member};`).join('\n')}\n`,
    );
  }
  return names;
}

async function bundleCommand(source, out) {
  const entry = join(source, 'cli', 'main.ts');
  if (!existsSync(entry)) return;
  await build({ ...common, entryPoints: [entry], format: 'esm', outfile: join(out, 'command.mjs') });
  const start = "import module from 'node:module';\nmodule.enableCompileCache?.();\nimport('./command.mjs');\n";
  writeFileSync(join(out, 'cli.mjs'), `#!/usr/bin/env node\n${start}`);
  chmodSync(join(out, 'cli.mjs'), 0o755);
}

async function declare(source, out, names) {
  const types = join(out, 'types');
  const entries = names.map((name) => join(source, `${name}.ts`));
  const project = join(out, 'tsconfig.types.json');
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    stripInternal: true,
    rootDir: source,
    outDir: types,
    typeRoots: [join(root, 'node_modules', '@types')],
  };
  writeFileSync(
    project,
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files: entries }),
  );
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { code, output } = await run(process.execPath, [tsc, '-p', project], { capture: true });
  rmSync(project);
  if (code !== 0) throw new Stop(`the declarations cannot be made:\n${output}`);
  for (const name of readdirSync(types, { recursive: true })) {
    const file = join(types, String(name));
    if (!file.endsWith('.d.ts')) continue;
    const text = readFileSync(file, 'utf8').replace(
      /((?:from|import)\s*\(?\s*['"]\.{1,2}\/[^'"]+)\.ts(['"])/g,
      '$1.js$2',
    );
    writeFileSync(file, text);
  }
  writeFileSync(join(types, 'package.json'), '{ "type": "commonjs" }\n');
  for (const name of names) writeFileSync(join(out, `${name}.d.mts`), `export * from './types/${name}.js';\n`);
}

/** Builds everything that `source` has doors for into `out`, which is emptied first. */
export async function bundle({ source = join(root, 'src'), out = join(root, 'dist') } = {}) {
  if (!existsSync(join(source, 'index.ts'))) throw new Stop('src/index.ts is not there yet: nothing to bundle.');
  const start = Date.now();
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const names = await bundleDoors(source, out);
  await Promise.all([bundleCommand(source, out), declare(source, out, names)]);
  const sizes = readdirSync(out)
    .filter((name) => /\.[cm]js$/.test(name))
    .map((name) => `${name} ${(statSync(join(out, name)).size / 1024).toFixed(1)} KiB`);
  console.log(`bundle in ${relative(process.cwd(), out) || '.'} (${seconds(start)}): ${sizes.join(', ')}`);
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({ options: { source: { type: 'string' }, out: { type: 'string' } } });
  const options = Object.fromEntries(Object.entries(values).map(([name, path]) => [name, resolve(path)]));
  await bundle(options).catch((error) => {
    console.error(error instanceof Stop ? error.message : error);
    process.exitCode = 1;
  });
}
