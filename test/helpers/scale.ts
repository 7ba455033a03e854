/**
 * How much a test of whole processes does: a little inside `npm test`, the full figure where its lane asks for it; and where
 * what it measured goes.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Set by the lanes: sizes are those that issue and TESTING page name. */
export const isFull = process.env.SOP_FULL === '1';

/** `short` inside `npm test`, `full` in a lane, or what the variable of this name says. */
export function amount(short: number, full: number, variable?: string): number {
  const said = variable === undefined ? undefined : process.env[variable];
  if (said !== undefined) return Number(said);
  return isFull ? full : short;
}

/** Printed with each random test; SOP_SEED replays one. */
export function chooseSeed(): number {
  return Number(process.env.SOP_SEED ?? Date.now() % 1_000_000_007);
}

/** One line anyone can quote, and the same in a file of its own beside the reports. */
export function noteFigures(name: string, figures: Readonly<Record<string, unknown>>): void {
  const text = JSON.stringify({ name, full: isFull, ...figures });
  console.log(`FIGURES ${text}`);
  const folder = join(import.meta.dirname, '..', '..', '.sop-setup', 'figures');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}${isFull ? '-full' : ''}.json`), `${text}\n`);
}

export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Of milliseconds or whatever else; rounded to two decimals. */
export function spread(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return {
    count: sorted.length,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
    max: round(sorted[sorted.length - 1] ?? 0),
  };
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
