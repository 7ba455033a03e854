/**
 * The package as a user meets it: packed, installed in an empty folder elsewhere without a network, used from ESM, from
 * CommonJS, from TypeScript and from the command line.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const hasDoor = existsSync(join(root, 'src', 'index.ts'));
const hasCommand = existsSync(join(root, 'src', 'cli', 'main.ts'));
const execute = promisify(execFile);

/** Runs a program to its end; what it printed is the answer, and part of the error where it fails. */
async function run(program: string, args: string[], cwd: string): Promise<string> {
  try {
    return (await execute(program, args, { cwd, env: { ...process.env, NODE_PATH: '' } })).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

const node = (args: string[], cwd: string): Promise<string> => run(process.execPath, args, cwd);

function npm(args: string[], cwd: string): Promise<string> {
  const cli = process.env.npm_execpath?.replace(/npx-cli/, 'npm-cli');
  return cli?.endsWith('npm-cli.js') ? node([cli, ...args], cwd) : run('npm', args, cwd);
}

/** The same little program for both module systems: a commit in a folder, read back after opening it again. */
const program = `
async function main() {
  const people = defineStore('people', { key: ['id'] });
  const db = await Database.open('data');
  await db.write(async (tx) => { await tx.store(people).put({ id: 1 }, { name: 'Ada' }); });
  await db.close();
  const again = await Database.open('data', { readOnly: true });
  const name = await again.read(async (tx) => (await tx.store(people).get({ id: 1 })).name);
  await again.close();
  console.log(name + ' ' + (typeof SopError));
}
main().catch((error) => { console.error(error); process.exitCode = 1; });
`;

const typed = `
interface Person { name: string }
const people = defineStore<{ id: number }, Person>('people', { key: ['id'] });
export async function nameOf(id: number): Promise<string | undefined> {
  const db = await Database.open('data', { readOnly: true });
  try {
    return await db.read(async (tx) => (await tx.store(people).get({ id }))?.name);
  } catch (error) {
    if (error instanceof SopError) return error.code;
    throw error;
  } finally {
    await db.close();
  }
}
`;

/** A program that uses what the interface has, as strict as TypeScript can be; it is compiled and then run. */
const strictProgram = `
import { ConflictError, Database, defineStore, type Entry, ItemId, SopError, type StandardSchema, type } from 'sop';

interface Order { readonly customer: string; readonly total: number; readonly paid?: Date }
const order: StandardSchema<unknown, Order> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      const { customer, total } = value as Partial<Order>;
      if (typeof customer !== 'string') return { issues: [{ message: 'a customer is a string', path: ['customer'] }] };
      return { value: { customer, total: total ?? 0 } };
    },
  },
};
const orders = defineStore('orders', {
  keySchema: type<{ region: string; day: Date; id: number; status: 'open' | 'paid' }>(),
  value: order,
  key: ['region', { field: 'day', order: 'desc' }, 'id'],
  rideOn: ['status'],
  indexes: { byCustomer: ['customer', 'total'], byStatus: { fields: ['status'] } },
});
const named = defineStore<number, Order>('named', { indexes: { byCustomer: { fields: ['customer'], unique: true } } });
const hits = defineStore<string, number>('hits', { counter: true });
const pages = defineStore<{ id: number; views: number }, string, 'views'>('pages', {
  key: ['id'],
  rideOn: ['views'],
  counters: ['views'],
});
const events = defineStore<string, { text: string }>('events', { unique: false });
const day = new Date('2026-11-22');

const db: Database = await Database.open('strict');
const id: ItemId = await db.write(async (tx) => {
  const store = tx.store(orders);
  const isNew: boolean = await store.add({ region: 'EU', day, id: 1, status: 'open' }, { customer: 'Ada', total: 42 });
  if (!isNew) throw new Error('it was there');
  await store.add({ region: 'EU', day, id: 2, status: 'paid' }, { customer: 'Grace', total: 7 });
  tx.store(named).put(1, { customer: 'Ada', total: 1 });
  tx.store(hits).increment('home', 2);
  tx.store(pages).put({ id: 1, views: 0 }, 'text');
  const before = tx.savepoint();
  tx.store(hits).increment('home', 100);
  tx.rollbackTo(before);
  return tx.store(events).add('door', { text: 'opened' });
});
await db.write((tx) => tx.store(pages).increment({ id: 1 }, { views: 3 }));
await db.pin('then');
await db.write(async (tx) => {
  const cursor = tx.store(orders).cursor();
  while (await cursor.next()) {
    const status: 'open' | 'paid' | undefined = cursor.key?.status;
    if (status === 'open') await cursor.updateKey({ status: 'paid' });
    else await cursor.remove();
  }
});

const lines: string[] = [];
await db.read(async (tx) => {
  const store = tx.store(orders);
  const first: Entry<{ region: string; day: Date; id: number; status: 'open' | 'paid' }, Order> | undefined = await store.first();
  lines.push(\`\${first?.key.status} \${first?.value.total}\`);
  const ada = await store.index('byCustomer').first({ prefix: { customer: 'Ada' } });
  const total: number | undefined = ada?.index.total;
  lines.push(\`\${ada?.key.id} \${total}\`);
  lines.push(String(await store.index('byStatus').count({ prefix: { status: 'open' } })));
  lines.push(String((await tx.store(named).index('byCustomer').get({ customer: 'Ada' }))?.key));
  const views: number | undefined = (await tx.store(pages).getEntry({ id: 1 }))?.key.views;
  lines.push(\`\${await tx.store(hits).get('home')} \${views}\`);
  lines.push((await tx.store(events).getItem('door', ItemId.parse(id.toString())))?.value.text ?? 'nothing');
});
lines.push(String(await db.read((tx) => tx.store(orders).count(), { at: 'then' })));
try {
  await db.write((tx) => tx.store(orders).put({ region: 'EU', day, id: 3, status: 'open' }, {} as Order));
} catch (error) {
  if (!(error instanceof SopError) || error instanceof ConflictError) throw error;
  lines.push(error.code);
}
await db.close();
console.log(lines.join('; '));

// What must not compile.
export async function refused(): Promise<void> {
  await using other = await Database.memory();
  await other.write((tx) => {
    // @ts-expect-error no such field in the key
    tx.store(orders).put({ region: 'EU', day, nr: 3, status: 'open' }, { customer: 'Ada', total: 1 });
    // @ts-expect-error no such index
    tx.store(orders).index('byTotal');
    // @ts-expect-error the index has no such field
    tx.store(orders).index('byCustomer').range({ prefix: { city: 'Oslo' } });
    // @ts-expect-error these are no counters
    tx.store(named).increment(1);
    // @ts-expect-error a value of another type
    tx.store(hits).put('home', 'many');
  });
  // @ts-expect-error a function cannot sort
  defineStore<{ id: number; f: () => void }, string>('x', { key: ['f'] });
  // @ts-expect-error no such field
  defineStore<{ id: number }, string>('x', { key: ['idd'] });
}
`;

describe.skipIf(!hasDoor)('the package', () => {
  let work = '';
  let app = '';

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'sop-package-'));
    app = join(work, 'app');
    await mkdir(app);
    await node([join(root, 'scripts', 'run.mjs'), 'prepack'], root);
    await npm(['pack', '--ignore-scripts', '--silent', '--pack-destination', work], root);
    const tarball = (await readdir(work)).find((name) => name.endsWith('.tgz')) ?? '';
    await writeFile(join(app, 'package.json'), '{ "private": true }');
    await npm(['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', join(work, tarball)], app);
  });

  afterAll(() => rm(work, { recursive: true, force: true }));

  it('runs from an ES module', async () => {
    await writeFile(join(app, 'esm.mjs'), `import { Database, defineStore, SopError } from 'sop';\n${program}`);
    expect(await node(['esm.mjs'], app)).toBe('Ada function\n');
  });

  it('runs from a CommonJS module', async () => {
    await writeFile(join(app, 'cjs.cjs'), `const { Database, defineStore, SopError } = require('sop');\n${program}`);
    expect(await node(['cjs.cjs'], app)).toBe('Ada function\n');
  });

  it('keeps its compiled code where the program wants that, and believes no damaged copy', async () => {
    const script = `import module from 'node:module';\nmodule.enableCompileCache('compiled');\nimport('./esm.mjs');\n`;
    await writeFile(join(app, 'cached.mjs'), script);
    const kept = async (): Promise<string[]> => {
      const all = await readdir(join(app, 'compiled'), { recursive: true });
      return all.filter((name) => /sop-[0-9a-f]+-\d+$/.test(name)).map((name) => join(app, 'compiled', name));
    };
    for (let i = 0; i < 2; i++) expect(await node(['cached.mjs'], app)).toBe('Ada function\n');
    const [path, ...more] = (await kept()) as [string, ...string[]];
    expect(more).toEqual([]);
    const whole = await readFile(path);
    expect(whole.length).toBeGreaterThan(100_000);
    const damaged = Buffer.from(whole).fill(0xff, 5000, 20_000);
    await writeFile(path, damaged);
    expect(await node(['cached.mjs'], app)).toBe('Ada function\n');
    expect((await readFile(path)).equals(damaged)).toBe(false);
    expect(await node(['cached.mjs'], app)).toBe('Ada function\n');
  });

  it('is one engine for a program that both imports and requires it', async () => {
    await writeFile(
      join(app, 'both.mjs'),
      `import { createRequire } from 'node:module';\nimport { SopError } from 'sop';\n` +
        `console.log(createRequire(import.meta.url)('sop').SopError === SopError);\n`,
    );
    expect(await node(['both.mjs'], app)).toBe('true\n');
  });

  it.each([
    ['nodenext', ['use.mts', 'use.cts']],
    ['node16', ['use.mts', 'use.cts']],
    ['bundler', ['use.mts']],
  ])('has strict types for %s', async (moduleResolution, files) => {
    for (const file of files) {
      await writeFile(join(app, file), `import { Database, defineStore, SopError } from 'sop';\n${typed}`);
    }
    const config = {
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: 'es2023',
        lib: ['es2023', 'esnext.disposable', 'esnext.iterator'],
        module: moduleResolution === 'bundler' ? 'esnext' : moduleResolution,
        moduleResolution,
        types: ['node'],
        typeRoots: [join(root, 'node_modules', '@types')],
      },
      files,
    };
    await writeFile(join(app, 'tsconfig.json'), JSON.stringify(config));
    await node([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.'], app);
  });

  it('compiles and runs in a TypeScript project with the strictest settings', async () => {
    const project = join(work, 'strict');
    await mkdir(project);
    await writeFile(join(project, 'package.json'), '{ "private": true, "type": "module" }');
    await symlink(join(app, 'node_modules'), join(project, 'node_modules'), 'junction');
    await writeFile(join(project, 'main.ts'), strictProgram);
    const compilerOptions = {
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      noPropertyAccessFromIndexSignature: true,
      noImplicitOverride: true,
      noImplicitReturns: true,
      noFallthroughCasesInSwitch: true,
      noUnusedLocals: true,
      verbatimModuleSyntax: true,
      isolatedModules: true,
      skipLibCheck: false,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      module: 'nodenext',
      outDir: 'out',
      types: ['node'],
      typeRoots: [join(root, 'node_modules', '@types')],
    };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.ts'] }));
    await node([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.'], project);
    expect(await node([join('out', 'main.js')], project)).toBe('paid 42; 1 42; 0; 1; 2 3; opened; 2; INVALID_VALUE\n');
  });

  it.skipIf(!hasCommand)('has the command sop', async () => {
    expect(await run(join(app, 'node_modules', '.bin', 'sop'), ['--help'], app)).toMatch(/sop/);
  });

  it('ships what a user needs and nothing else', async () => {
    const shipped = await readdir(join(app, 'node_modules', 'sop'));
    expect(shipped).toEqual(expect.arrayContaining(['dist', 'prebuilds', 'LICENSE', 'CHANGELOG.md', 'package.json']));
    expect(shipped.filter((name) => ['src', 'test', 'node_modules', 'build', 'bench'].includes(name))).toEqual([]);
  });
});
