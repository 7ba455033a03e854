/** Which plots there are, and what of the results they show. A plot without figures is left out. */
import { median } from './figures.mjs';
import { figureOf } from './report.mjs';
import { dotPlot, linePanels } from './svg.mjs';
import { advantage, isComparable } from './tables.mjs';
import { workOf } from './works/index.mjs';

const PERCENTILES = {
  p50ms: ['50 %', 0.3],
  p90ms: ['90', 1],
  p99ms: ['99', 2],
  p999ms: ['99.9', 3],
  p9999ms: ['99.99', 4],
};
const YARDSTICKS = ['map', 'log'];

/** `results`: by command (all, quick, large, growth). Answers SVG text by name. */
export function plotsOf(results) {
  const main = results.all ?? results.quick;
  const plots = {
    ratios: main && ratios(main, 'SOP beside the others'),
    'ratios-large':
      results.large && ratios(results.large, 'SOP beside the others, a database much larger than the cache'),
    growth: results.growth && growth(results.growth),
    latency: main && latency(main),
    space: main && space(main),
  };
  return Object.fromEntries(Object.entries(plots).filter(([, drawing]) => drawing !== undefined));
}

function ratios({ outcome }, title) {
  const rows = [];
  for (const entry of outcome.filter(({ work }) => isComparable(work))) {
    const points = Object.keys(entry.results)
      .filter((peer) => peer !== 'sop' && !YARDSTICKS.includes(peer))
      .map((peer) => ({ peer, value: advantage(entry, peer) }))
      .filter(({ value }) => value > 0 && Number.isFinite(value));
    if (points.length > 0) rows.push({ label: `${workOf(entry.work).row}  ${workOf(entry.work).about}`, points });
  }
  if (rows.length === 0) return undefined;
  return dotPlot({ title, axis: 'right of 1x: SOP is better by so much', rows });
}

/** Microseconds an operation, or milliseconds an opening, by the number of records. */
function growth({ outcome }) {
  const names = [...new Set(outcome.map(({ work }) => work))];
  const panels = names.map((name) => {
    const work = workOf(name);
    const entries = outcome.filter((entry) => entry.work === name);
    const peers = [...new Set(entries.flatMap(({ results }) => Object.keys(results)))];
    const cost = (list) => (work.lower ? median(list.map(figureOf)) : 1e6 / median(list.map(figureOf)));
    const lines = peers
      .filter((peer) => !YARDSTICKS.includes(peer))
      .map((peer) => ({
        peer,
        points: entries
          .filter(({ results }) => results[peer])
          .map(({ count, results }) => [count, cost(results[peer])]),
      }));
    return { title: name, lines, xLog: true, yLog: true, x: 'records', y: work.lower ? work.unit : 'us each' };
  });
  return linePanels({ title: 'What an operation costs as the database grows', panels: panels.filter(hasLines) });
}

function latency({ outcome }) {
  const panels = outcome
    .filter(({ work }) => workOf(work).row === 'latency')
    .flatMap(({ work, results }) => [
      percentiles(`${work}, commits`, results, (one) => one),
      percentiles(`${work}, reads`, results, (one) => one.reads),
    ])
    .filter(hasLines);
  if (panels.length === 0) return undefined;
  return linePanels({ title: 'Latency at a fixed rate of arrival', panels, columns: 2 });
}

function percentiles(title, results, pick) {
  const lines = Object.entries(results).map(([peer, list]) => ({
    peer,
    points: Object.entries(PERCENTILES)
      .map(([name, [, place]]) => [place, median(list.map((one) => pick(one)?.[name] ?? Number.NaN))])
      .filter(([, value]) => value > 0),
  }));
  const xNames = Object.values(PERCENTILES).map(([words, place]) => [place, words]);
  return {
    title,
    lines: lines.filter(({ points }) => points.length > 0),
    yLog: true,
    x: 'of all are quicker',
    y: 'ms',
    xNames,
  };
}

function space({ outcome }) {
  const entry = outcome.find(({ work }) => work === 'space');
  const lines = Object.entries(entry?.results ?? {}).map(([peer, [{ series, payloadMB }]]) => ({
    peer,
    points: series.map(({ updates, MB }) => [updates, MB / payloadMB]),
  }));
  const panel = { title: 'on disk', lines, x: 'random updates', y: 'times the payload' };
  return hasLines(panel) ? linePanels({ title: 'Space over time', panels: [panel] }) : undefined;
}

function hasLines({ lines }) {
  return lines.some(({ points }) => points.length > 0);
}
