/** The verb salvage: what is readable of a damaged database, into a new one. */
import { Database, type SalvageLoss } from '../index.ts';
import { type Command, EXIT_DAMAGE, EXIT_DONE, takePositionals } from './command.ts';
import { formatCount, formatDuration } from './output.ts';
import { Progress } from './progress.ts';

export const salvageCommand: Command = {
  name: 'salvage',
  summary: 'write what is readable of a damaged database into a new one',
  usage: '<folder> <new folder>',
  details:
    'The damaged folder is only read; what is lost is listed with file, offset, store and keys. Exit code 4 where something ' +
    'is lost. Exports, backups and verify come first: this is for what they can not read.',
  options: {},
  examples: [
    ['sop salvage ./data ./rescued', 'then: sop verify ./rescued'],
    ['sop salvage ./data ./rescued --json', 'the same report, for programs'],
  ],
  async run(call) {
    const [from, to] = takePositionals(call, '<folder>', '<new folder>') as [string, string];
    const { out, signal } = call;
    const progress = new Progress(out, 'salvaging');
    const report = await Database.salvage(from, to, {
      signal,
      onProgress: ({ entries, transactions }) => progress.show(entries + transactions, undefined, entries, 'entries'),
    }).finally(() => progress.end());
    out.verdict = report.lost.length === 0 ? EXIT_DONE : EXIT_DAMAGE;
    if (out.json) {
      await out.line(JSON.stringify(report));
      return report.lost.length === 0 ? EXIT_DONE : EXIT_DAMAGE;
    }
    for (const loss of report.lost) await out.line(describe(loss));
    if (report.olderRoot)
      await out.line(`the newest root could not be read; trees are as of number ${report.rootNumber}`);
    for (const { store, index, state } of report.rebuilt)
      await out.line(`index '${index}' of '${store}': ${STATES[state]}`);
    const entries = countOf(report.entries, 'entry', 'entries');
    const what = `${entries} of trees and ${countOf(report.transactions, 'transaction', 'transactions')} of the log`;
    const lost = countOf(report.lost.length, 'piece is', 'pieces are');
    const verdict = report.lost.length === 0 ? 'nothing is lost' : `${lost} lost`;
    await out.line(`${what} are in ${to} after ${formatDuration(progress.elapsedMs)}; ${verdict}`);
    return report.lost.length === 0 ? EXIT_DONE : EXIT_DAMAGE;
  },
};

const STATES = {
  ready: 'built anew',
  building: 'to be built anew by the program that has its function',
  failed: 'could not be built anew',
};

function countOf(count: number, one: string, many: string): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

function describe(loss: SalvageLoss): string {
  const { what, file, offset, store, name, index, entries, key, lower, upper } = loss;
  const parts = [`lost: ${what}`];
  // Many messages name the place themselves.
  if (file !== undefined && !what.includes(file)) parts.push(`${file}${offset === undefined ? '' : ` at ${offset}`}`);
  if (store !== undefined) parts.push(name === undefined ? `store ${store}` : `store '${name}'`);
  if (index !== undefined) parts.push(`index '${index}'`);
  if (entries !== undefined) parts.push(countOf(entries, 'entry', 'entries'));
  if (key !== undefined) parts.push(`key ${key}`);
  if (lower !== undefined)
    parts.push(`keys from ${lower === '' ? 'the first' : lower}${upper === undefined ? '' : ` to ${upper}`}`);
  return parts.join('; ');
}
