/** Row h: what a program waits for between its first line and its first record. Arguments: peer, folder, key. */
const start = performance.now();
const [name, folder, key] = process.argv.slice(2);
const { open } = await import(`./peers/${name}.mjs`);
const peer = await open(folder);
await peer.gets([key], [0], 0, 1);
const value = performance.now() - start;
await peer.close();
console.log(`RESULT ${JSON.stringify({ value })}`);
