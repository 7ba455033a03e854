/**
 * From results to what is read: `npm run bench -- publish results/all.json results/growth.json ...` copies the results to `published/`
 * (and `syncs.json`, where it lies beside them), draws the plots there, and writes the tables between the marks in this folder's
 * README and in the README of the repository. Without arguments it draws anew from what is published.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { peerTable, ratioTable, syncTable } from './tables.mjs';
import { plotsOf } from './plots.mjs';

const here = import.meta.dirname;
const BEGIN = '<!-- bench: made by `npm run bench -- publish`, not by hand -->';
const END = '<!-- bench: end -->';

/** `to` and `readmes` are other than the repository's only in tests. */
export function publish(files, { to = join(here, 'published'), readmes = repositoryReadmes } = {}) {
  mkdirSync(to, { recursive: true });
  for (const file of files) {
    const { command } = JSON.parse(readFileSync(file, 'utf8'));
    copyFileSync(file, join(to, `${command}.json`));
    const syncs = join(dirname(file), 'syncs.json');
    if (existsSync(syncs)) copyFileSync(syncs, join(to, 'syncs.json'));
  }
  const results = {};
  for (const name of readdirSync(to).filter((one) => one.endsWith('.json'))) {
    results[name.replace('.json', '')] = JSON.parse(readFileSync(join(to, name), 'utf8'));
  }
  const plots = plotsOf(results);
  for (const [name, drawing] of Object.entries(plots)) writeFileSync(join(to, `${name}.svg`), drawing);
  for (const { path, textOf } of readmes) replaceBetween(path, textOf(results, Object.keys(plots)));
  console.log(`published: ${Object.keys(results).join(', ')}; plots: ${Object.keys(plots).join(', ')}`);
}

const repositoryReadmes = [
  { path: join(here, 'README.md'), textOf: longText },
  { path: join(here, '..', 'README.md'), textOf: shortText },
];

function replaceBetween(path, words) {
  const before = readFileSync(path, 'utf8');
  const begin = before.indexOf(BEGIN);
  const end = before.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${path} has no marks for the tables: ${BEGIN} and ${END}`);
  writeFileSync(path, `${before.slice(0, begin)}${BEGIN}\n\n${words.trim()}\n\n${before.slice(end)}`);
}

/** The result the table comes from: a complete run where there is one. */
const mainOf = (results) => results.all ?? results.quick;

function shortText(results) {
  const main = mainOf(results);
  if (main === undefined) return 'No run is published yet.';
  return `${ratioTable(main)}\n\n${measuredOn(main)} All figures, plots and how it was measured: [bench/README.md](bench/README.md).`;
}

export function longText(results, plots) {
  const main = mainOf(results);
  const parts =
    main === undefined ? ['No run is published yet.'] : [measuredOn(main), ratioTable(main), peerTable(main)];
  for (const [name, result] of Object.entries(results)) {
    if (result === main || result.outcome === undefined) continue;
    parts.push(`**${name}**: ${measuredOn(result)}`, peerTable(result));
  }
  if (results.syncs !== undefined) parts.push('Syncs, counted by strace:', syncTable(results.syncs));
  for (const name of plots) parts.push(`![${name}](published/${name}.svg)`);
  return parts.join('\n\n');
}

function measuredOn({ machine, began, reps, minutes, outcome, options }) {
  const versions = Object.entries(machine.versions).filter(([, version]) => version !== undefined);
  const records = [...new Set(outcome.map(({ count }) => count))].map((count) => count.toLocaleString('en')).join(', ');
  return (
    `Measured on ${began.slice(0, 10)} in ${Math.round(minutes)} minutes: ${records} records, ${reps} repetitions, cache ${options.cacheMb} MB` +
    `${options.memoryMb ? `, ${options.memoryMb} MB of memory for each process, page cache included` : ''}; ${machine.cpus} x ${machine.cpu}, ` +
    `${machine.memoryGiB} GiB, ${machine.fileSystem}, ${machine.platform}, Node ${machine.node}; ` +
    `${versions.map(([name, version]) => `${name} ${version}`).join(', ')}; commit ${machine.commit}.`
  );
}
