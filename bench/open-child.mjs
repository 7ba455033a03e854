/**
 * Row h: from the first line of a program to its first record. Arguments: peer, folder, key, cache in MB, and 'plain' or a folder
 * for V8's compile cache, which every peer gets alike (Node asks for none by itself).
 */
const start = performance.now();
const [name, folder, key, cacheMb, compileCache] = process.argv.slice(2);
if (compileCache !== 'plain') (await import('node:module')).enableCompileCache?.(compileCache);
const { open } = await import(`./peers/${name}.mjs`);
const peer = await open(folder, { cacheMb: Number(cacheMb) });
const value0 = await peer.get(key);
const value = performance.now() - start;
if (value0?.id !== 100000) throw new Error(`the first record is ${JSON.stringify(value0)}`);
await peer.close();
console.log(`RESULT ${JSON.stringify({ value })}`);
