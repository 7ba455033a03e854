/** The report: ratios first, since only what was measured in pairs in one run counts; absolute figures with their spread behind them. */
import { median, spread } from './figures.mjs';
import { workOf } from './works/index.mjs';

export const figureOf = (result) => result?.rate ?? result?.value;

/** The median of the ratios of each repetition, SOP to the peer. */
export function ratio(results, peer) {
  const theirs = new Map((results[peer] ?? []).map((result) => [result.rep, figureOf(result)]));
  const pairs = (results.sop ?? []).map((own) => figureOf(own) / theirs.get(own.rep)).filter(Number.isFinite);
  return pairs.length === 0 ? undefined : median(pairs);
}

export function verdict(value, { target, floor }, lower) {
  const reaches = (limit) => (lower ? value <= limit : value >= limit);
  if (target === undefined && floor === undefined) return '';
  if (floor !== undefined && !reaches(floor)) return `BELOW FLOOR ${floor}`;
  if (target !== undefined && !reaches(target)) return `floor kept, target ${target} missed`;
  return `good (${target === undefined ? `floor ${floor}` : `target ${target}`})`;
}

export const short = (value) => {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(0)}k`;
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
};

/** The median of one field over the repetitions that have it; `pick` may reach deeper. */
export function middle(list, pick) {
  const known = list.map(pick).filter(Number.isFinite);
  return known.length === 0 ? undefined : median(known);
}

const withUnit = (value, digits, before, after) =>
  value === undefined ? '' : `${before}${value.toFixed(digits)}${after}`;

/** What else was seen, in words. */
function extras(list) {
  const of = (name, digits, before, after = '') =>
    withUnit(
      middle(list, (one) => one[name]),
      digits,
      before,
      after,
    );
  const parts = [
    of('p50ms', 2, 'p50 ', ' ms'),
    of('p99ms', 2, 'p99 ', ''),
    of('p999ms', 2, 'p99.9 ', ''),
    of('maxMs', 1, 'longest ', ''),
    withUnit(
      middle(list, (one) => one.reads?.p999ms),
      2,
      'reads p99.9 ',
      ' ms',
    ),
    of('reached', 2, 'kept up with ', 'x'),
    of('withoutSettling', 0, 'without the last checkpoint '),
    of('getsBefore', 0, 'gets '),
    of('getsAfter', 0, 'then '),
    of('keysBefore', 0, 'keys '),
    of('keysAfter', 0, 'then '),
    of('tableShare', 2, 'table filled '),
    of('MBbefore', 0, 'MB '),
    of('MBheld', 0, 'held '),
    of('MBreleased', 0, 'released '),
    of('settledMB', 0, 'settled ', ' MB'),
    of('coldReadMB', 1, 'a cold scan reads ', ' MB'),
    of('valuesMB', 0, 'of ', ' MB'),
    of('writtenPerByte', 1, 'wrote ', ' bytes a byte'),
    withUnit(
      middle(list, (one) => one.memory?.anonymous),
      0,
      '',
      ' MiB anonymous',
    ),
    withUnit(
      middle(list, (one) => one.memory?.file),
      0,
      '',
      ' MiB mapped',
    ),
    withUnit(
      middle(list, (one) => one.harness && one.harness.anonymous + one.harness.file),
      0,
      '(harness ',
      ')',
    ),
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function printWork({ work: name, count, results }) {
  const work = workOf(name);
  console.log(`\n${work.row}  ${name}: ${work.about}; ${count} records`);
  for (const [peer, limits] of Object.entries(work.against)) {
    const value = ratio(results, peer);
    if (value !== undefined)
      console.log(`     ${value.toFixed(2)}x ${peer.padEnd(12)} ${verdict(value, limits, work.lower)}`);
  }
  const own = work.limit === undefined ? undefined : middle(results.sop ?? [], figureOf);
  if (own !== undefined) {
    console.log(`     ${short(own)} ${work.unit} of ${work.limit} aimed at: ${own <= work.limit ? 'good' : 'MISSED'}`);
  }
  for (const [peer, list] of Object.entries(results)) {
    const figures = list.map(figureOf);
    const around = list.length > 1 ? ` ±${(spread(figures) * 100).toFixed(0)}%` : '';
    console.log(
      `        ${peer.padEnd(12)} ${short(median(figures)).padStart(8)} ${work.unit}${around}  ${extras(list)}`,
    );
  }
}

export function printReport({ machine, outcome }) {
  console.log(
    `\n${machine.cpus} x ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.fileSystem}, Node ${machine.node}`,
  );
  for (const entry of outcome) printWork(entry);
}
