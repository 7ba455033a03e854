/** Typed JSON: any value through JSON and back without loss, and errors that say where they are. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError, InvalidValueError } from '../../../src/base/errors.ts';
import { stringifyTypedJson, toTypedJson } from '../../../src/codec/typed-json.ts';
import { fromTypedJson, parseTypedJson } from '../../../src/codec/typed-json-read.ts';
import { Uuid } from '../../../src/codec/uuid.ts';
import { anyKey, anyNumber, anyValue, runs, withHoles } from '../../helpers/codec-arbitraries.ts';

function expectSame(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toStrictEqual(expected);
}

describe('typed JSON', () => {
  it('brings back every value, as text and as a tree', () => {
    fc.assert(
      fc.property(anyValue, fc.constantFrom(undefined, 2), (value, indent) => {
        const text = stringifyTypedJson(value, indent);
        expectSame(parseTypedJson(text), value);
        expectSame(fromTypedJson(JSON.parse(text)), value);
      }),
      runs(2000),
    );
  });

  it('brings back every key', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        expectSame(parseTypedJson(stringifyTypedJson(key)), key);
      }),
      runs(1000),
    );
  });

  it('is plain JSON where that is enough', () => {
    fc.assert(
      fc.property(fc.jsonValue({ depthSize: 'medium' }), (json) => {
        const text = JSON.stringify(json);
        fc.pre(!text.includes('"$'));
        expectSame(parseTypedJson(text), JSON.parse(text));
      }),
      runs(1000),
    );
    fc.assert(
      fc.property(anyNumber, (number) => {
        if (Number.isFinite(number) && !Object.is(number, -0))
          expect(parseTypedJson(JSON.stringify(number))).toBe(number);
      }),
      runs(2000),
    );
    const value = { a: [1, 'x', null, true], b: { c: 1.5 } };
    expect(stringifyTypedJson(value)).toBe(JSON.stringify(value));
  });

  it('looks as it is documented', () => {
    const cases: [unknown, unknown][] = [
      [undefined, { $undefined: true }],
      [NaN, { $number: 'NaN' }],
      [-0, { $number: '-0' }],
      [-Infinity, { $number: '-Infinity' }],
      [-12n, { $bigint: '-12' }],
      ['a\ud83d', { $string: '0061d83d' }],
      [new Date(0), { $date: '1970-01-01T00:00:00.000Z' }],
      [new Date(-8.64e15), { $date: '-271821-04-20T00:00:00.000Z' }],
      [new Date(NaN), { $date: null }],
      [Uint8Array.of(1, 2), { $bytes: 'AQI=' }],
      [new Int16Array([1]), { $view: ['Int16Array', 'AQA='] }],
      [new Uuid(0, 1, 2, 3), { $uuid: '00000000-0000-0001-0000-000200000003' }],
      [/a\/b/g, { $regexp: ['a\\/b', 'g'] }],
      [new Map([['k', 1n]]), { $map: [['k', { $bigint: '1' }]] }],
      [new Set([1]), { $set: [1] }],
      [Object(1), { $boxed: 1 }],
      [withHoles([1, 0, 0, 2, 0], [1, 2, 4]), [1, { $hole: 2 }, 2, { $hole: 1 }]],
      [{ $date: 5 }, { $object: { $date: 5 } }],
      [{ $object: { $x: 1 } }, { $object: { $object: { $object: { $x: 1 } } } }],
      [
        { $date: 5, more: 1 },
        { $date: 5, more: 1 },
      ],
    ];
    for (const [value, json] of cases) expect(toTypedJson(value)).toStrictEqual(json);
    const error = Object.assign(new TypeError('m'), { stack: 's' });
    expect(toTypedJson(error)).toEqual({ $error: { name: 'TypeError', message: 'm', stack: 's' } });
  });

  it('writes an object twice that is met twice, and refuses cycles and what cannot be stored', () => {
    const shared = { a: 1 };
    expect(toTypedJson([shared, shared])).toEqual([shared, shared]);
    const cycle: unknown[] = [];
    cycle.push({ cycle });
    expect(() => toTypedJson(cycle)).toThrow(/contains itself/);
    expect(() => toTypedJson({ a: [() => 1] })).toThrow(/^value\.a\[0\]: a function/);
    let deep: unknown = 1;
    for (let i = 0; i < 600; i++) deep = [deep];
    expect(() => toTypedJson(deep)).toThrow(InvalidValueError);
    expect(() => fromTypedJson(deep)).toThrow(InvalidArgumentError);
  });

  it('keeps __proto__ a name', () => {
    const value = parseTypedJson('{"__proto__": {"x": 1}}') as { x?: number };
    expect(Object.keys(value)).toEqual(['__proto__']);
    expect(value.x).toBeUndefined();
    expect(stringifyTypedJson(value)).toBe('{"__proto__":{"x":1}}');
  });
});

describe('an error in typed JSON', () => {
  it('names line, column and what was expected', () => {
    const cases: [string, RegExp][] = [
      ['', /line 1, column 1: expected a JSON value; found the end of the text/],
      ['{"a": 1,}', /line 1, column 9: expected a name in double quotes; found "}"/],
      ['{"a" 1}', /line 1, column 6: expected ':' after a name; found "1"/],
      ['[1 2]', /column 4: expected ',' or '\]'; found "2"/],
      ['[1,\n  2,\n  x]', /line 3, column 3: expected a JSON value; found "x"/],
      ['"ab', /column 4: expected a closing quote/],
      ['"a\n"', /column 3: expected an escape/],
      ['"\\x"', /expected an escape such as/],
      ['1 2', /column 3: expected the end of the text/],
      ['01', /column 2: expected the end/],
      ['{"a":1,"a":2}', /column 8: expected another name: "a" is there already/],
      [
        '[9007199254740993]',
        /column 2: expected a number that a double holds; write \{"\$bigint": "9007199254740993"\}/,
      ],
      ['1e999', /expected a number that a double holds/],
      ['[1, {"$date": "soon"}]', /^value\[1\]\.\$date \(line 1, column 5\): expected a date such as/],
      ['{"a":\n {"$uuid": 5}}', /^value\.a\.\$uuid \(line 2, column 2\): expected a string/],
      ['{"$dat": 1}', /unknown kind "\$dat"; write \{"\$object"/],
      ['{"$hole": 1}', /unknown kind/],
      ['[{"$hole": -1}]', /expected the number of missing elements/],
      ['[{"$hole": 5000000000}]', /expected the number of missing elements/],
      ['{"$bytes": "a"}', /expected base64/],
      ['{"$bigint": "1.5"}', /expected an integer/],
      ['{"$map": [1]}', /expected \[key, value\] at 0/],
      ['{"$view": ["Int99Array", ""]}', /expected the name of a typed array/],
      ['{"$view": ["Int16Array", "AA=="]}', /whole elements/],
      ['{"$regexp": ["(", ""]}', /regular expression/],
      ['{"$error": {"name": "E"}}', /expected a string in message/],
      ['{"$object": []}', /expected an object/],
      ['{"$undefined": false}', /expected true/],
      ['{"$number": "1"}', /expected "NaN"/],
      ['{"$boxed": null}', /expected a primitive/],
      ['{"$string": "12"}', /four hexadecimal digits/],
    ];
    for (const [text, message] of cases) {
      expect(() => parseTypedJson(text), text).toThrow(InvalidArgumentError);
      expect(() => parseTypedJson(text), text).toThrow(message);
    }
    expect(() => fromTypedJson({ a: { $date: 'x' } })).toThrow(/^value\.a\.\$date: expected a date/);
    expect(() => fromTypedJson({ a: undefined })).toThrow(/^value\.a: expected JSON, found undefined/);
  });

  it('is always of one kind, whatever the text', () => {
    const tags = [
      '$undefined',
      '$number',
      '$bigint',
      '$string',
      '$date',
      '$bytes',
      '$uuid',
      '$view',
      '$regexp',
      '$map',
      '$set',
    ];
    const json = fc.letrec<{ json: unknown }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        fc.jsonValue({ maxDepth: 1 }),
        fc
          .tuple(fc.constantFrom(...tags, '$boxed', '$error', '$object', '$hole', '$x'), tie('json'))
          .map(([tag, value]) => ({ [tag]: value })),
        fc.array(tie('json'), { maxLength: 3 }),
      ),
    })).json;
    const mutated = fc
      .tuple(json, fc.nat(), fc.constantFrom('', '"', '{', '}', ',', '0', '\\', '$'))
      .map(([value, at, character]) => {
        const text = JSON.stringify(value);
        const place = at % (text.length + 1);
        return text.slice(0, place) + character + text.slice(place + 1);
      });
    fc.assert(
      fc.property(
        fc.oneof(
          json.map((value) => JSON.stringify(value)),
          mutated,
        ),
        (text) => {
          try {
            stringifyTypedJson(parseTypedJson(text));
          } catch (error) {
            expect(error).toBeInstanceOf(InvalidArgumentError);
          }
        },
      ),
      runs(5000),
    );
    expect(() => parseTypedJson('['.repeat(1_000_000))).toThrow(/fewer levels/);
  });
});
