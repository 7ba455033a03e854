/**
 * Chance from a seed: the one source of disorder in a simulated world. Small, fast and the same on every machine; not
 * for secrets. (A 128-bit state stepped by additions and rotations, as in the sfc family.)
 */

import type { Random } from './env.ts';

export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 0x1_0000_0000) | 0;
    this.#c = 0x5eed5eed;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** 32 unsigned bits. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * bound);
  }

  /** A fraction in [0, 1). */
  fraction(): number {
    return this.next() / 0x1_0000_0000;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability * 0x1_0000_0000;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.next() >>> 11;
  }

  /** A generator of its own, so that drawing from one never shifts the other. */
  fork(): SeededRandom {
    return new SeededRandom(this.next() * 0x10_0000 + (this.next() >>> 12));
  }
}
