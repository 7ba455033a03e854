/** Batch forms: the single calls in order, with an answer for each item. */
import { InvalidArgumentError, SopError } from '../base/errors.ts';
import { describeValue } from '../codec/text.ts';
import { FOUND, NOT_LOADED } from '../storage/find-result.ts';
import { mustBeIterable } from './arguments.ts';
import type { StoreCore } from './store-core.ts';
import type { Item } from './store-types.ts';

/** How many look-ups of one batch may wait for the disk at once. */
const MOST_LOADING = 64;

export async function getMany(core: StoreCore, keys: Iterable<unknown>): Promise<unknown[]> {
  mustBeIterable(keys, 'keys');
  const values: unknown[] = [];
  const loading: Promise<void>[] = [];
  try {
    await getAll(core, keys, values, loading);
  } catch (error) {
    // What is still under way fails, or not, unheard.
    await Promise.allSettled(loading);
    throw error;
  }
  return values;
}

async function getAll(
  core: StoreCore,
  keys: Iterable<unknown>,
  values: unknown[],
  loading: Promise<void>[],
): Promise<void> {
  let index = 0;
  for (const key of keys) {
    const at = index++;
    values.push(undefined);
    const found = lookUp(core, key, at);
    if (found === FOUND && !core.foundSeparate) values[at] = core.foundValue();
    else if (found === FOUND || found === NOT_LOADED) {
      const value: Promise<unknown> =
        found === FOUND
          ? core.foundSeparateValue()
          : core.afterLoad((f) => (f === FOUND ? core.foundValueSoon() : undefined));
      loading.push(
        value.then((loaded) => {
          values[at] = loaded;
        }),
      );
      if (loading.length >= MOST_LOADING) {
        await Promise.all(loading);
        loading.length = 0;
      }
    }
  }
  await Promise.all(loading);
}

function lookUp(core: StoreCore, key: unknown, index: number) {
  try {
    return core.find(key, false);
  } catch (error) {
    throw withIndex(error, index);
  }
}

export async function changeMany<K, V>(
  items: Iterable<Item<K, V>>,
  change: (key: K, value: V) => Promise<boolean>,
): Promise<boolean[]> {
  mustBeIterable(items, 'items');
  const answers: boolean[] = [];
  for (const item of items) {
    try {
      answers.push(await change(keyIn(item), valueIn(item)));
    } catch (error) {
      throw withIndex(error, answers.length);
    }
  }
  return answers;
}

export function changeManySync<K, V>(items: Iterable<Item<K, V>>, change: (key: K, value: V) => boolean): boolean[] {
  mustBeIterable(items, 'items');
  const answers: boolean[] = [];
  for (const item of items) {
    try {
      answers.push(change(keyIn(item), valueIn(item)));
    } catch (error) {
      throw withIndex(error, answers.length);
    }
  }
  return answers;
}

export function putMany<K, V>(core: StoreCore, items: Iterable<Item<K, V>>): void {
  core.mustBeWritable();
  mustBeIterable(items, 'items');
  let index = 0;
  try {
    for (const item of items) {
      core.put(keyIn(item), valueIn(item));
      index++;
    }
  } catch (error) {
    throw withIndex(error, index);
  }
}

export async function forKeys<K>(keys: Iterable<K>, change: (key: K) => Promise<boolean>): Promise<boolean[]> {
  mustBeIterable(keys, 'keys');
  const answers: boolean[] = [];
  for (const key of keys) {
    try {
      answers.push(await change(key));
    } catch (error) {
      throw withIndex(error, answers.length);
    }
  }
  return answers;
}

export function forKeysSync<K>(keys: Iterable<K>, change: (key: K) => boolean): boolean[] {
  mustBeIterable(keys, 'keys');
  const answers: boolean[] = [];
  for (const key of keys) {
    try {
      answers.push(change(key));
    } catch (error) {
      throw withIndex(error, answers.length);
    }
  }
  return answers;
}

export function keyIn<K, V>(item: Item<K, V>): K {
  if (typeof item !== 'object' || item === null) {
    throw new InvalidArgumentError(`an item is [key, value] or { key, value }, not ${describeValue(item)}`);
  }
  return Array.isArray(item) ? (item as readonly [K, V])[0] : (item as { readonly key: K }).key;
}

export function valueIn<K, V>(item: Item<K, V>): V {
  return Array.isArray(item) ? (item as readonly [K, V])[1] : (item as { readonly value: V }).value;
}

/** The same error, saying which item of the batch it is about. */
function withIndex(error: unknown, index: number): unknown {
  if (error instanceof SopError && !('index' in error.details)) {
    Object.defineProperty(error, 'details', { value: { ...error.details, index }, enumerable: true });
  }
  return error;
}
