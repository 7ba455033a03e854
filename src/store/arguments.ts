/** What many public calls check of their arguments: programs without types hand in anything. */
import { InvalidArgumentError } from '../base/errors.ts';
import { describeValue } from '../codec/text.ts';

/** Options are an object; which ones there may be, the call says. */
export function mustBeOptions(options: unknown): void {
  if (typeof options === 'object' && options !== null) return;
  throw new InvalidArgumentError(`options are an object, not ${describeValue(options)}`);
}

/** What a batch is made of; a string's letters are none. */
export function mustBeIterable(items: unknown, what: string): void {
  if (typeof items === 'object' && items !== null && Symbol.iterator in items) return;
  throw new InvalidArgumentError(`${what} are an iterable, for example an array, not ${describeValue(items)}`);
}

/** A name as it stands in a message, whatever was handed in for one. */
export function quoted(name: unknown): string {
  return typeof name === 'string' ? `'${name}'` : describeValue(name);
}
