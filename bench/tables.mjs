/** Results as Markdown tables: ratios first, then every peer's figures. */
import { median, spread } from './figures.mjs';
import { allPeers } from './peers.mjs';
import { figureOf, middle, ratio, short } from './report.mjs';
import { workOf } from './works/index.mjs';

/** How many times better SOP is: of more where more is better, of less where less is. */
export function advantage(entry, peer) {
  const value = ratio(entry.results, peer);
  if (value === undefined) return undefined;
  return workOf(entry.work).lower ? 1 / value : value;
}

/** Shares of a peer's own figure say nothing about another peer's. */
export const isComparable = (work) => workOf(work).unit !== '%';

const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) =>
  [row(head), row(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(row)].join('\n');
const present = ({ outcome }) =>
  allPeers.filter(({ name }) => outcome.some(({ results }) => results[name] !== undefined));
const figure = (list) => (list === undefined ? '' : short(median(list.map(figureOf))));

/** One line a work: SOP's figure, and how many times better it is than each peer. */
export function ratioTable(result) {
  const others = present(result).filter(({ name }) => name !== 'sop');
  const entries = result.outcome.filter(({ work, results }) => results.sop !== undefined && isComparable(work));
  const rows = entries.map((entry) => {
    const work = workOf(entry.work);
    const cells = others.map(({ name }) => {
      const value = advantage(entry, name);
      return value === undefined ? '' : `${short(value)}x`;
    });
    return [`${work.row} ${work.about}`, `${figure(entry.results.sop)} ${work.unit}`, ...cells];
  });
  const head = ['work', 'SOP', ...others.map(({ name }) => `SOP to ${name}`)];
  return `More than 1x: SOP is better by so much (quicker, smaller).\n\n${table(head, rows)}`;
}

/** What a peer did: the median and how far repetitions lay apart, memory, bytes written. */
function cellOf(list) {
  if (list === undefined) return '';
  const around = list.length > 1 ? ` ±${(spread(list.map(figureOf)) * 100).toFixed(0)} %` : '';
  return `${figure(list)}${around}`;
}

export function peerTable(result) {
  const peers = present(result);
  const several = new Set(result.outcome.map(({ count }) => count)).size > 1;
  const name = ({ work, count }) => (several ? `${work} ${short(count)}` : work);
  const figures = result.outcome.map((entry) => [
    `${name(entry)} (${workOf(entry.work).unit})`,
    ...peers.map((peer) => cellOf(entry.results[peer.name])),
  ]);
  const parts = [table(['figures', ...peers.map((peer) => peer.name)], figures)];
  for (const [title, pick, digits] of SIDES) {
    const rows = result.outcome.map((entry) => [
      name(entry),
      ...peers.map((peer) => middle(entry.results[peer.name] ?? [], pick)?.toFixed(digits) ?? ''),
    ]);
    const told = rows.filter((cells) => cells.slice(1).some((cell) => cell !== ''));
    if (told.length > 0) parts.push(table([title, ...peers.map((peer) => peer.name)], told));
  }
  return parts.join('\n\n');
}

/** What stands beside the figures, each in a table of its own. */
const SIDES = [
  ['99.9th percentile, ms', (one) => one.p999ms, 2],
  ['longest, ms', (one) => one.maxMs, 1],
  ['99.9th percentile of reads, ms', (one) => one.reads?.p999ms, 2],
  ['anonymous memory at the end, MiB', (one) => one.memory?.anonymous, 0],
  ['mapped files in memory, MiB', (one) => one.memory?.file, 0],
  ['on disk at the end, MB', (one) => one.diskMB, 1],
  ['bytes written per byte of payload', (one) => one.writtenPerByte, 2],
  ['read from disk by a cold scan of keys, MB', (one) => one.coldReadMB, 1],
];

const inWords = (counts = {}) =>
  Object.entries(counts)
    .map(([call, count]) => `${count} ${call}`)
    .join(', ') || 'none';

export function syncTable(syncs) {
  const [{ transactions }] = Object.values(syncs);
  const head = [
    'peer',
    `${transactions.lone} transactions of 1 client`,
    `${transactions.many} transactions of 64 clients`,
  ];
  return table(
    head,
    Object.entries(syncs).map(([name, { syncs: found }]) => [name, inWords(found.lone), inWords(found.many)]),
  );
}
