/**
 * Feeding a decoder with bytes that are nearly right: inputs of a corpus, changed a little, their checksums made right where the
 * target knows how. Inputs that run a part of the engine never run before join the corpus. A decoder must answer with a value or
 * with one of the errors that its target names, soon, and without taking memory for things that are not there.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SopError } from '../../src/base/errors.ts';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { mutate } from '../corruption/forge.ts';
import { Coverage } from './coverage.ts';

export interface Target {
  readonly name: string;
  /** Well-formed inputs. */
  readonly seeds: readonly Uint8Array[];
  /** Pieces that mean something to the decoder. */
  readonly dictionary?: readonly Uint8Array[];
  /** Codes of errors that are fine; CORRUPTION and FORMAT_UNSUPPORTED always are. */
  readonly allowed?: readonly string[];
  /** Other errors that are fine, by name. */
  readonly allowedNames?: readonly string[];
  /** Makes checksums right. */
  readonly repair?: (bytes: Uint8Array) => void;
  readonly run: (bytes: Uint8Array) => unknown;
}

export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const words = (...texts: readonly string[]): Uint8Array[] => texts.map((text) => new TextEncoder().encode(text));

/** As a stream hands it out. */
export async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
}

export interface FuzzResult {
  readonly inputs: number;
  readonly kept: number;
  readonly parts: number;
}

/** Found by a target: the input is in the message. */
export class FuzzFailure extends Error {}

const CORPUS = join(import.meta.dirname, 'corpus');
const BATCH = 256;
const MOST_KEPT = 400;
const LONGEST = 16 * 1024;
/** A decoder that takes longer for a few kilobytes is no decoder; thrice, since the machine may be busy. */
const SLOW_MS = 250;
const MEMORY_BYTES = 64 * 1024 * 1024;

export function readCorpus(name: string): Uint8Array[] {
  try {
    return readdirSync(join(CORPUS, name)).map((file) => Uint8Array.from(readFileSync(join(CORPUS, name, file))));
  } catch {
    return [];
  }
}

/** Adds an input to the corpus in the repository. */
export function keepInput(name: string, bytes: Uint8Array, at: number): void {
  mkdirSync(join(CORPUS, name), { recursive: true });
  writeFileSync(join(CORPUS, name, `${at.toString().padStart(3, '0')}.bin`), bytes);
}

/** Runs one input; throws `FuzzFailure` where what happens may not happen. */
export async function runInput(target: Target, bytes: Uint8Array): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const memory = process.memoryUsage().arrayBuffers;
    const began = performance.now();
    await runOnce(target, bytes);
    const took = performance.now() - began;
    const grown = process.memoryUsage().arrayBuffers - memory;
    if (took < SLOW_MS && grown < MEMORY_BYTES) return;
    if (attempt < 3) continue;
    throw failure(target, bytes, `takes ${Math.round(took)} ms and ${Math.round(grown / 1e6)} MB`);
  }
}

async function runOnce(target: Target, bytes: Uint8Array): Promise<void> {
  try {
    const answer = target.run(bytes.slice());
    if (answer instanceof Promise) await answer;
  } catch (error) {
    if (isAllowed(target, error)) return;
    throw failure(target, bytes, String((error as Error)?.stack ?? error));
  }
}

function isAllowed(target: Target, error: unknown): boolean {
  if (target.allowedNames?.includes((error as Error)?.name) === true) return true;
  if (!(error instanceof SopError)) return false;
  return (
    error.code === 'CORRUPTION' || error.code === 'FORMAT_UNSUPPORTED' || target.allowed?.includes(error.code) === true
  );
}

function failure(target: Target, bytes: Uint8Array, what: string): FuzzFailure {
  return new FuzzFailure(`decoder ${target.name}, input ${Buffer.from(bytes).toString('base64')}:\n${what}`);
}

/** Changes a copy of `input`, now and then with a piece of `other` in it. */
function change(random: SeededRandom, target: Target, input: Uint8Array, other: Uint8Array): Uint8Array {
  let bytes = input.slice();
  for (let left = 1 + random.below(3); left > 0; left--) bytes = changeOnce(random, target, bytes, other);
  if (random.below(10) > 0) target.repair?.(bytes);
  return bytes;
}

function changeOnce(
  random: SeededRandom,
  target: Target,
  bytes: Uint8Array,
  other: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const at = random.below(bytes.length + 1);
  const { dictionary } = target;
  switch (random.below(dictionary === undefined ? 7 : 10)) {
    case 0:
      return Uint8Array.from(bytes.subarray(0, at));
    case 1:
      return join3(bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + random.below(8))));
    case 2: {
      const noise = new Uint8Array(1 + random.below(8));
      random.fill(noise);
      return join3(bytes.subarray(0, at), noise, bytes.subarray(at));
    }
    case 3: {
      const from = random.below(other.length + 1);
      return join3(bytes.subarray(0, at), other.subarray(from, from + random.below(64)), bytes.subarray(at));
    }
    case 7:
    case 8:
      return join3(bytes.subarray(0, at), random.pick(dictionary as readonly Uint8Array[]), bytes.subarray(at));
    case 9: {
      const word = random.pick(dictionary as readonly Uint8Array[]);
      return join3(bytes.subarray(0, at), word, bytes.subarray(Math.min(bytes.length, at + word.length)));
    }
    default: {
      const copy = Uint8Array.from(bytes);
      mutate(random, copy, 0, copy.length);
      return copy;
    }
  }
}

function join3(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(parts).subarray(0, LONGEST));
}

/** Fuzzes one decoder for so long. `keep`: what was worth keeping goes to the corpus in the repository. */
export async function fuzz(target: Target, seed: number, seconds: number, keep = false): Promise<FuzzResult> {
  const random = new SeededRandom(seed);
  const corpus = [...target.seeds, ...readCorpus(target.name)];
  const coverage = new Coverage();
  let stored = readCorpus(target.name).length;
  let kept = 0;
  let inputs = 0;
  coverage.start();
  try {
    for (const input of corpus) await runInput(target, input);
    coverage.learn(coverage.look());
    const until = performance.now() + seconds * 1000;
    while (performance.now() < until) {
      const batch = Array.from({ length: BATCH }, () =>
        change(random, target, random.pick(corpus), random.pick(corpus)),
      );
      for (const input of batch) await runInput(target, input);
      inputs += batch.length;
      const fresh = coverage.look();
      if (fresh.size === 0 || corpus.length >= MOST_KEPT) continue;
      const worth = await whoRan(target, batch, new Set(fresh), coverage);
      coverage.learn(fresh);
      for (const input of worth) {
        corpus.push(input);
        kept++;
        if (keep && stored < 24 && input.length <= 4096) keepInput(target.name, input, stored++);
      }
    }
    return { inputs, kept, parts: coverage.parts };
  } finally {
    coverage.stop();
  }
}

/** The inputs of a batch that ran these parts: halves are run again until one input is left. */
async function whoRan(
  target: Target,
  batch: readonly Uint8Array[],
  wanted: Set<string>,
  coverage: Coverage,
): Promise<Uint8Array[]> {
  if (wanted.size === 0 || batch.length === 0) return [];
  coverage.look();
  for (const input of batch) await runInput(target, input);
  const found = [...coverage.look()].filter((part) => wanted.has(part));
  if (found.length === 0) return [];
  if (batch.length === 1) {
    for (const part of found) wanted.delete(part);
    return [batch[0] as Uint8Array];
  }
  const half = batch.length >>> 1;
  const first = await whoRan(target, batch.slice(0, half), wanted, coverage);
  return [...first, ...(await whoRan(target, batch.slice(half), wanted, coverage))];
}
