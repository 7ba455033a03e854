/**
 * A JSON parser (RFC 8259) that says where it stopped and what it expected there, remembers where objects and arrays
 * begin, and refuses what JSON.parse quietly changes: integers no double holds, numbers beyond all doubles, names
 * given twice.
 */

import { InvalidArgumentError } from '../base/errors.ts';
import { MAX_VALUE_NESTING } from '../base/limits.ts';
import { setOwn } from './code-generation.ts';

/** Line and column count from one, the position from zero. */
export interface JsonPlace {
  readonly line: number;
  readonly column: number;
  readonly position: number;
}

/** Where the objects and arrays of a tree begin in its text. */
export interface JsonPlaces {
  placeOf(holder: object): JsonPlace | undefined;
}

/** Typed JSON nests a few levels for one of the value's. */
const MAX_NESTING = MAX_VALUE_NESTING * 3;
const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
// Everything that stands for itself in a string. Control characters have to be escaped.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is left out
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** Throws `InvalidArgumentError` with line, column and position in its details. */
export function parseJson(text: string): { readonly json: unknown; readonly places: JsonPlaces } {
  const parser = new JsonParser(text);
  return { json: parser.parse(), places: parser };
}

class JsonParser implements JsonPlaces {
  readonly #text: string;
  readonly #positions = new Map<object, number>();
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  placeOf(holder: object): JsonPlace | undefined {
    const position = this.#positions.get(holder);
    return position === undefined ? undefined : placeAt(this.#text, position);
  }

  parse(): unknown {
    const json = this.#value();
    if (this.#at < this.#text.length) this.#refuse('expected the end of the text');
    return json;
  }

  /** A value and the white space around it. */
  #value(): unknown {
    this.#skip();
    const json = this.#bareValue();
    this.#skip();
    return json;
  }

  #bareValue(): unknown {
    const character = this.#text[this.#at];
    if (character === '{') return this.#within(() => this.#object());
    if (character === '[') return this.#within(() => this.#array());
    if (character === '"') return this.#string();
    for (const [word, json] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return json;
      }
    }
    return this.#number();
  }

  #within(read: () => object): object {
    const position = this.#at;
    if (++this.#depth > MAX_NESTING) this.#refuse('expected fewer levels of nesting');
    this.#at++;
    const json = read();
    this.#depth--;
    this.#positions.set(json, position);
    return json;
  }

  #object(): object {
    const json: Record<string, unknown> = {};
    this.#skip();
    if (this.#passes('}')) return json;
    for (;;) {
      this.#skip();
      if (this.#text[this.#at] !== '"') this.#refuse('expected a name in double quotes');
      const nameAt = this.#at;
      const name = this.#string();
      if (Object.hasOwn(json, name)) {
        this.#at = nameAt;
        this.#refuse(`expected another name: ${JSON.stringify(name)} is there already`);
      }
      this.#skip();
      if (!this.#passes(':')) this.#refuse("expected ':' after a name");
      setOwn(json, name, this.#value());
      if (this.#passes('}')) return json;
      if (!this.#passes(',')) this.#refuse("expected ',' or '}'");
    }
  }

  #array(): unknown[] {
    const json: unknown[] = [];
    this.#skip();
    if (this.#passes(']')) return json;
    for (;;) {
      json.push(this.#value());
      if (this.#passes(']')) return json;
      if (!this.#passes(',')) this.#refuse("expected ',' or ']'");
    }
  }

  #string(): string {
    this.#at++;
    let value = '';
    for (;;) {
      value += this.#match(PLAIN)?.[0] ?? '';
      if (this.#passes('"')) return value;
      if (!this.#passes('\\'))
        this.#refuse(this.#at < this.#text.length ? 'expected an escape' : 'expected a closing quote');
      value += this.#escape();
    }
  }

  #escape(): string {
    const character = this.#text[this.#at] ?? '';
    const simple = ESCAPES[character];
    if (simple !== undefined) {
      this.#at++;
      return simple;
    }
    const digits = this.#text.slice(this.#at + 1, this.#at + 5);
    if (character !== 'u' || !/^[0-9a-fA-F]{4}$/.test(digits))
      this.#refuse('expected an escape such as \\n or \\u0041');
    this.#at += 5;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #number(): number {
    const start = this.#at;
    const match = this.#match(NUMBER);
    if (match === undefined) this.#refuse('expected a JSON value');
    const value = Number(match[0]);
    const isInteger = match[1] === undefined && match[2] === undefined;
    if (!Number.isFinite(value) || (isInteger && !isFaithful(match[0], value))) {
      this.#at = start;
      this.#refuse(`expected a number that a double holds; write {"$bigint": "${match[0]}"}`);
    }
    return value;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return match;
  }

  #passes(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skip(): void {
    this.#match(SPACE);
  }

  #refuse(expected: string): never {
    const place = placeAt(this.#text, this.#at);
    const next = this.#text[this.#at];
    const found = next === undefined ? 'the end of the text' : JSON.stringify(next);
    throw new InvalidArgumentError(`JSON, line ${place.line}, column ${place.column}: ${expected}; found ${found}`, {
      details: { ...place },
    });
  }
}

/** Whether an integer is what it became, or what JavaScript itself writes for that: 2 ** 70 ends in zeros in JSON. */
function isFaithful(literal: string, value: number): boolean {
  return Number.isSafeInteger(value) || String(value) === literal || BigInt(literal) === BigInt(value);
}

const WORDS: readonly [string, boolean | null][] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

function placeAt(text: string, position: number): JsonPlace {
  const before = text.slice(0, position);
  const line = before.split('\n').length;
  return { line, column: position - before.lastIndexOf('\n'), position };
}
