/** The table: ratios first, since only what was measured in pairs in one run counts; absolute figures behind them. */
import { median, works } from './works.mjs';

const figureOf = (result) => result?.rate ?? result?.value;

/** The median of the ratios of each repetition. */
function ratio(results, peer) {
  const pairs = (results.sop ?? []).map((own, rep) => figureOf(own) / figureOf(results[peer]?.[rep]));
  const known = pairs.filter(Number.isFinite);
  return known.length === 0 ? undefined : median(known);
}

function verdict(value, { target, floor }, lower) {
  const reaches = (limit) => (lower ? value <= limit : value >= limit);
  if (target === undefined && floor === undefined) return '';
  if (floor !== undefined && !reaches(floor)) return `BELOW FLOOR ${floor}`;
  if (target !== undefined && !reaches(target)) return `floor kept, target ${target} missed`;
  return `good (${target === undefined ? `floor ${floor}` : `target ${target}`})`;
}

const short = (value) => {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(0)}k`;
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
};

export function printReport({ machine, count, outcome }) {
  console.log(`\n${count} records; ${machine.cpus} x ${machine.cpu}, ${machine.memoryGiB} GiB, Node ${machine.node}\n`);
  for (const { work: name, results } of outcome) {
    const work = works.find((candidate) => candidate.name === name);
    console.log(`${work.row}  ${work.about}`);
    for (const [peer, limits] of Object.entries(work.against)) {
      const value = ratio(results, peer);
      if (value !== undefined)
        console.log(`     ${value.toFixed(2)}x ${peer.padEnd(11)} ${verdict(value, limits, work.lower)}`);
    }
    for (const [peer, list] of Object.entries(results)) {
      const known = list.filter(Boolean);
      const extra = known.some((r) => r.p99ms !== undefined)
        ? `  p50 ${median(known.map((r) => r.p50ms)).toFixed(2)}, p99 ${median(known.map((r) => r.p99ms)).toFixed(2)}, p99.9 ${median(known.map((r) => r.p999ms)).toFixed(2)}, longest ${median(known.map((r) => r.maxMs)).toFixed(1)} ms`
        : known.some((r) => r.withoutSettling)
          ? `  (${short(median(known.map((r) => r.withoutSettling)))} without the last checkpoint)`
          : known.some((r) => r.harnessMiB)
            ? `  (harness ${median(known.map((r) => r.harnessMiB)).toFixed(0)})`
            : '';
      console.log(`        ${peer.padEnd(11)} ${short(median(known.map(figureOf))).padStart(8)} ${work.unit}${extra}`);
    }
  }
}
