/** Plots as SVG text, written by hand: they need no library, and follow the reader's light or dark background. */

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #333; } .title { font-size: 14px; font-weight: 600; } .small { font-size: 11px; }
  .grid { stroke: #8884; stroke-width: 1; } .one { stroke: #888; stroke-width: 1.5; } .line { fill: none; stroke-width: 2; }
  @media (prefers-color-scheme: dark) { text { fill: #ddd; } }`;

/** Readable on white and on black alike. */
export const COLOURS = {
  sop: '#e4572e',
  lmdb: '#2e86de',
  'lmdb-cache': '#74b9ff',
  sqlite: '#27ae60',
  'sqlite-alone': '#7f9c5a',
  'node-sqlite': '#1abc9c',
  rocksdb: '#9b59b6',
  level: '#c49b0b',
  map: '#999999',
  log: '#777777',
};

const escaped = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;');
const text = (x, y, words, more = '') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escaped(words)}</text>`;
const line = (x1, y1, x2, y2, name) =>
  `<line class="${name}" x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"/>`;

function page(width, height, parts) {
  const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`;
  return `${open}\n<style>${STYLE}\n</style>\n${parts.join('\n')}\n</svg>\n`;
}

/** A number at an axis: 0.02, 5, 200, 10k, 1M. */
export function brief(value) {
  if (value >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  if (value >= 1e3) return `${+(value / 1e3).toPrecision(3)}k`;
  return String(+value.toPrecision(3));
}

/** From numbers to places, by their logarithm or as they are; `ticks` are where the lines of the grid go. */
function scaleOf(values, from, to, isLog) {
  const known = values.filter((value) => Number.isFinite(value) && (!isLog || value > 0));
  const measure = isLog ? Math.log10 : (value) => value;
  const low = isLog ? Math.min(...known) : 0;
  const high = Math.max(...known, isLog ? low * 1.01 : 1e-9);
  const share = (value) => (measure(value) - measure(low)) / (measure(high) - measure(low));
  const place = (value) => from + (to - from) * share(value);
  return { place, ticks: isLog ? decades(low, high) : evenTicks(high) };
}

function decades(low, high) {
  const steps = Math.log10(high / low) > 2.5 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of steps) {
      const tick = step * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

function evenTicks(high) {
  const rough = high / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= rough);
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, i) => i * step);
}

function legend(names, x, y) {
  const parts = [];
  for (const name of names) {
    parts.push(
      `<circle cx="${x}" cy="${y - 4}" r="4" fill="${COLOURS[name]}"/>`,
      text(x + 8, y, name, 'class="small"'),
    );
    x += 24 + name.length * 6.6;
  }
  return parts;
}

/** One row per work, one dot per peer, on a logarithmic axis: `rows` are `{ label, points: [{ peer, value }] }`. */
export function dotPlot({ title, axis, rows }) {
  const width = 1000;
  const left = 450;
  const top = 64;
  const bottom = top + rows.length * 24;
  const all = rows.flatMap(({ points }) => points);
  const { place, ticks } = scaleOf([1, ...all.map(({ value }) => value)], left, width - 30, true);
  const peers = Object.keys(COLOURS).filter((name) => all.some(({ peer }) => peer === name));
  const parts = [text(12, 22, title, 'class="title"'), ...legend(peers, 14, 44)];
  for (const tick of ticks) {
    parts.push(line(place(tick), top - 6, place(tick), bottom, tick === 1 ? 'one' : 'grid'));
    parts.push(text(place(tick), bottom + 16, `${brief(tick)}x`, 'text-anchor="middle" class="small"'));
  }
  rows.forEach(({ label, points }, i) => {
    const y = top + 12 + i * 24;
    parts.push(text(left - 14, y + 4, label, 'text-anchor="end" class="small"'));
    for (const { peer, value } of points) {
      const words = `<title>${escaped(`${peer}: ${brief(value)}x`)}</title>`;
      parts.push(`<circle cx="${place(value).toFixed(1)}" cy="${y}" r="5" fill="${COLOURS[peer]}">${words}</circle>`);
    }
  });
  parts.push(text(left, bottom + 34, axis, 'class="small"'));
  return page(width, bottom + 46, parts);
}

/** Panels of lines side by side: `panels` are `{ title, lines: [{ peer, points: [[x, y]] }], xLog, yLog, x, y, xNames }`. */
export function linePanels({ title, panels, columns = 3 }) {
  const across = Math.min(columns, panels.length);
  const width = 30 + across * 290;
  const height = 66 + Math.ceil(panels.length / across) * 236;
  const peers = Object.keys(COLOURS).filter((name) =>
    panels.some(({ lines }) => lines.some(({ peer }) => peer === name)),
  );
  const parts = [text(12, 22, title, 'class="title"'), ...legend(peers, 14, 44)];
  panels.forEach((panel, i) => {
    parts.push(...drawPanel(panel, 60 + (i % across) * 290, 78 + Math.floor(i / across) * 236, 220, 160));
  });
  return page(width, height, parts);
}

function drawPanel({ title, lines, xLog = false, yLog = false, x, y, xNames }, left, top, width, height) {
  const points = lines.flatMap((one) => one.points);
  const across = scaleOf(
    points.map(([value]) => value),
    left,
    left + width,
    xLog,
  );
  const up = scaleOf(
    points.map(([, value]) => value),
    top + height,
    top,
    yLog,
  );
  const parts = [text(left, top - 8, `${title} (${y})`, 'class="small"')];
  for (const tick of up.ticks) {
    parts.push(line(left, up.place(tick), left + width, up.place(tick), 'grid'));
    parts.push(text(left - 6, up.place(tick) + 4, brief(tick), 'text-anchor="end" class="small"'));
  }
  for (const [i, tick] of (xNames?.map(([value]) => value) ?? across.ticks).entries()) {
    const words = xNames?.[i][1] ?? brief(tick);
    parts.push(text(across.place(tick), top + height + 16, words, 'text-anchor="middle" class="small"'));
  }
  parts.push(text(left + width, top + height + 32, x, 'text-anchor="end" class="small"'));
  for (const { peer, points: its } of lines) {
    const places = its.map(([a, b]) => `${across.place(a).toFixed(1)},${up.place(b).toFixed(1)}`);
    parts.push(
      `<polyline class="line" stroke="${COLOURS[peer]}" points="${places.join(' ')}"><title>${peer}</title></polyline>`,
    );
    for (const place of places) {
      const [cx, cy] = place.split(',');
      parts.push(`<circle cx="${cx}" cy="${cy}" r="2.5" fill="${COLOURS[peer]}"/>`);
    }
  }
  return parts;
}
