/** Figures of lanes: sums, targets, and how they are shown. */
import type { Figures } from './lane-row.ts';

export function addFigures(sum: Record<string, number>, more: Figures): void {
  for (const [unit, count] of Object.entries(more)) sum[unit] = (sum[unit] ?? 0) + count;
}

export function isEnough(sum: Figures, target: Figures): boolean {
  return Object.entries(target).every(([unit, count]) => (sum[unit] ?? 0) >= count);
}

/** The share of a target that is done, from 0 to 1: that of the unit that lags most. */
export function shareOf(sum: Figures, target: Figures): number {
  return Math.min(1, ...Object.entries(target).map(([unit, count]) => (sum[unit] ?? 0) / count));
}

export function showFigures(figures: Figures): string {
  return Object.entries(figures)
    .map(([unit, count]) => `${Math.round(count).toLocaleString('en-US')} ${unit}`)
    .join(', ');
}

export function showSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** '90', '90s', '10m', '2h' as seconds. */
export function parseSeconds(text: string): number {
  const found = /^(\d+(?:\.\d+)?)([smh]?)$/.exec(text);
  if (found === null) throw new Error(`not a length of time: ${text}`);
  return Number(found[1]) * ({ s: 1, m: 60, h: 3600 }[found[2] ?? 's'] ?? 1);
}
