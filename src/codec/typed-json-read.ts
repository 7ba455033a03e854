/** Reading typed JSON (typed-json.ts says what it looks like), from text or from a tree that was parsed elsewhere. */

import { InvalidArgumentError } from '../base/errors.ts';
import { MAX_VALUE_NESTING } from '../base/limits.ts';
import { setOwn } from './code-generation.ts';
import { type JsonPlaces, parseJson } from './json-text.ts';
import { describeValue } from './text.ts';
import { Uuid } from './uuid.ts';
import { propertyPath, VIEW_CLASSES, VIEW_ELEMENT_BYTES, VIEW_NAMES } from './value-kinds.ts';
import { makeError } from './value-reader.ts';

/**
 * The key or value that a text of typed JSON says. Throws `InvalidArgumentError`, naming line and column and what was
 * expected there.
 */
export function parseTypedJson(text: string): unknown {
  const { json, places } = parseJson(text);
  return new TypedJsonReader(places).read(json, 0);
}

/** The same from a tree that JSON.parse made; errors name the path. */
export function fromTypedJson(json: unknown): unknown {
  return new TypedJsonReader(undefined).read(json, 0);
}

class TypedJsonReader {
  readonly #places: JsonPlaces | undefined;
  readonly #path: (string | number)[] = [];
  /** The object or array being read: what has a place in the text. */
  #holder: object | undefined;

  constructor(places: JsonPlaces | undefined) {
    this.#places = places;
  }

  read(json: unknown, depth: number): unknown {
    if (depth > MAX_VALUE_NESTING) this.#refuse(`nests deeper than ${MAX_VALUE_NESTING}`);
    if (typeof json !== 'object' || json === null) {
      const plain = json === null || typeof json === 'boolean' || typeof json === 'number' || typeof json === 'string';
      return plain ? json : this.#refuse(`expected JSON, found ${describeValue(json)}`);
    }
    this.#holder = json;
    if (Array.isArray(json)) return this.#readArray(json, depth);
    const names = Object.keys(json);
    const [first] = names;
    if (names.length === 1 && first !== undefined && first.startsWith('$')) {
      return this.#readTagged(first, (json as Record<string, unknown>)[first], json, depth);
    }
    return this.#readObject(json as Record<string, unknown>, depth);
  }

  #readPart(name: string | number, json: unknown, depth: number): unknown {
    this.#path.push(name);
    const value = this.read(json, depth + 1);
    this.#path.pop();
    return value;
  }

  #readObject(json: Record<string, unknown>, depth: number): object {
    const value: Record<string, unknown> = {};
    for (const name of Object.keys(json)) setOwn(value, name, this.#readPart(name, json[name], depth));
    return value;
  }

  #readArray(json: readonly unknown[], depth: number): unknown[] {
    const value: unknown[] = [];
    json.forEach((element, i) => {
      const holes = holeOf(element);
      if (holes === undefined) value.push(this.#readPart(i, element, depth));
      else if (isCount(holes) && value.length + holes <= 0xffff_ffff) value.length += holes;
      else this.#refuse('expected the number of missing elements in $hole');
    });
    return value;
  }

  #readTagged(tag: string, json: unknown, holder: object, depth: number): unknown {
    this.#path.push(tag);
    const value = this.#readTag(tag, json, holder, depth);
    this.#path.pop();
    return value;
  }

  #readTag(tag: string, json: unknown, holder: object, depth: number): unknown {
    switch (tag) {
      case '$undefined':
        return json === true ? undefined : this.#refuse('expected true');
      case '$number':
        return this.#readNumber(json);
      case '$bigint':
        if (!/^-?[0-9]+$/.test(this.#text(json))) this.#refuse('expected an integer in a string');
        return BigInt(json as string);
      case '$string':
        return this.#readUnits(this.#text(json));
      case '$date':
        return this.#readDate(json);
      case '$bytes':
        return this.#readBytes(json);
      case '$uuid':
        return this.#readUuid(this.#text(json));
      case '$view':
        return this.#readView(json);
      case '$regexp':
        return this.#readRegExp(json);
      case '$map':
        return this.#readMap(this.#list(json), depth);
      case '$set':
        return new Set(this.#list(json).map((element, i) => this.#readPart(i, element, depth)));
      case '$boxed':
        return this.#readBoxed(this.read(json, depth + 1));
      case '$error':
        return this.#readError(this.#object(json), depth);
      case '$object':
        return this.#readObject(this.#object(json), depth);
      default:
        this.#holder = holder;
        return this.#refuse(`unknown kind ${JSON.stringify(tag)}; write {"$object": {...}} around a plain object`);
    }
  }

  #text(json: unknown): string {
    return typeof json === 'string' ? json : this.#refuse('expected a string');
  }

  #list(json: unknown): readonly unknown[] {
    return Array.isArray(json) ? json : this.#refuse('expected an array');
  }

  #object(json: unknown): Record<string, unknown> {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) this.#refuse('expected an object');
    return json as Record<string, unknown>;
  }

  #readNumber(json: unknown): number {
    switch (json) {
      case 'NaN':
        return Number.NaN;
      case 'Infinity':
        return Number.POSITIVE_INFINITY;
      case '-Infinity':
        return Number.NEGATIVE_INFINITY;
      case '-0':
        return -0;
      default:
        return this.#refuse('expected "NaN", "Infinity", "-Infinity" or "-0"');
    }
  }

  #readUnits(digits: string): string {
    if (!/^(?:[0-9a-f]{4})*$/i.test(digits)) this.#refuse('expected four hexadecimal digits for each code unit');
    let text = '';
    for (let at = 0; at < digits.length; at += 4) {
      text += String.fromCharCode(Number.parseInt(digits.slice(at, at + 4), 16));
    }
    return text;
  }

  #readDate(json: unknown): Date {
    if (json === null) return new Date(Number.NaN);
    const form = /^(?:[+-]\d{6}|\d{4})-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/;
    const text = this.#text(json);
    const date = new Date(form.test(text) ? text : Number.NaN);
    if (Number.isNaN(date.getTime())) this.#refuse('expected a date such as "2026-01-31T10:20:30.000Z", or null');
    return date;
  }

  #readBytes(json: unknown): Uint8Array {
    const text = this.#text(json);
    if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) this.#refuse('expected base64');
    return new Uint8Array(Buffer.from(text, 'base64'));
  }

  #readUuid(text: string): Uuid {
    try {
      return Uuid.parse(text);
    } catch {
      return this.#refuse('expected a UUID such as "01234567-89ab-cdef-0123-456789abcdef"');
    }
  }

  #readView(json: unknown): ArrayBufferView | ArrayBuffer {
    const [name, text] = this.#list(json);
    const bytes = this.#readBytes(text);
    if (name === 'ArrayBuffer') return bytes.buffer as ArrayBuffer;
    const kind = typeof name === 'string' ? VIEW_NAMES.indexOf(name) : -1;
    const View = VIEW_CLASSES[kind];
    if (View === undefined)
      this.#refuse(`expected the name of a typed array, one of ${VIEW_NAMES.join(', ')}, ArrayBuffer`);
    if (bytes.length % (VIEW_ELEMENT_BYTES[kind] ?? 1) !== 0) this.#refuse('expected bytes for whole elements');
    return new View(bytes.buffer as ArrayBuffer);
  }

  #readRegExp(json: unknown): RegExp {
    const [source, flags] = this.#list(json);
    try {
      return new RegExp(this.#text(source), this.#text(flags));
    } catch (error) {
      if (error instanceof InvalidArgumentError) throw error;
      return this.#refuse('expected source and flags of a regular expression');
    }
  }

  #readMap(json: readonly unknown[], depth: number): Map<unknown, unknown> {
    const value = new Map<unknown, unknown>();
    json.forEach((pair, i) => {
      if (!Array.isArray(pair) || pair.length !== 2) this.#refuse(`expected [key, value] at ${i}`);
      const key = this.#readPart(i, pair[0], depth + 1);
      value.set(key, this.#readPart(i, pair[1], depth + 1));
    });
    return value;
  }

  #readBoxed(value: unknown): object {
    if (value === null || value === undefined || typeof value === 'object') this.#refuse('expected a primitive');
    return Object(value) as object;
  }

  #readError(json: Record<string, unknown>, depth: number): Error {
    const part = (name: string) => (Object.hasOwn(json, name) ? this.#readPart(name, json[name], depth) : undefined);
    const text = (name: string) => {
      const value = part(name);
      return typeof value === 'string' ? value : this.#refuse(`expected a string in ${name}`);
    };
    const error = makeError(text('name'), text('message'), Object.hasOwn(json, 'stack') ? text('stack') : undefined);
    for (const name of ['cause', 'errors']) {
      if (!Object.hasOwn(json, name)) continue;
      Object.defineProperty(error, name, { value: part(name), writable: true, enumerable: false, configurable: true });
    }
    return error;
  }

  #refuse(why: string): never {
    const path = this.#path.map((step) => (typeof step === 'number' ? `[${step}]` : propertyPath(step))).join('');
    const place = this.#holder === undefined ? undefined : this.#places?.placeOf(this.#holder);
    const where = place === undefined ? '' : ` (line ${place.line}, column ${place.column})`;
    throw new InvalidArgumentError(`value${path}${where}: ${why}`, { details: { path: `value${path}`, ...place } });
  }
}

function holeOf(element: unknown): unknown {
  if (typeof element !== 'object' || element === null || !Object.hasOwn(element, '$hole')) return undefined;
  return Object.keys(element).length === 1 ? (element as { $hole: unknown }).$hole : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}
