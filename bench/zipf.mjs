/** Skewed picks as YCSB makes them: rank r is picked in proportion to 1 / r^0.99 (Gray et al., "Quickly generating billion-record..."). */
import { generator } from './records.mjs';

const THETA = 0.99;
const ALPHA = 1 / (1 - THETA);

function zeta(count) {
  let sum = 0;
  for (let i = 1; i <= count; i++) sum += 1 / i ** THETA;
  return sum;
}

const zetas = new Map();

function zetaOf(count) {
  if (!zetas.has(count)) zetas.set(count, zeta(count));
  return zetas.get(count);
}

/** Answers ranks from 0 (the most frequent) to `count` - 1. */
export function zipfRanks(count, seed) {
  const next = generator(seed);
  const total = zetaOf(count);
  const eta = (1 - (2 / count) ** (1 - THETA)) / (1 - zetaOf(2) / total);
  const second = 1 + 0.5 ** THETA;
  return () => {
    const u = next() / 2 ** 32;
    const uz = u * total;
    if (uz < 1) return 0;
    if (uz < second) return 1;
    return Math.min(count - 1, Math.floor(count * (eta * u - eta + 1) ** ALPHA));
  };
}

/** The same with the frequent ones strewn over all records. */
export function scrambledZipf(count, seed) {
  const rank = zipfRanks(count, seed);
  return () => {
    let x = Math.imul(rank() + 0x7f4a7c15, 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 0) % count;
  };
}
