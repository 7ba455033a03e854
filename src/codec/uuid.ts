/**
 * A UUID as a value of its own: 128 bits held as four unsigned 32-bit words, most significant first, so that it is
 * immutable and needs no byte array. Its order is that of its sixteen bytes.
 */

import { InvalidArgumentError } from '../base/errors.ts';

const PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

export const UUID_BYTES = 16;

/** A UUID as a key or value: 16 bytes, which sort as their text does. */
export class Uuid {
  readonly word0: number;
  readonly word1: number;
  readonly word2: number;
  readonly word3: number;

  /** Four words of 32 bits, most significant first. Use `parse`, `fromBytes` or `random` instead. */
  constructor(word0: number, word1: number, word2: number, word3: number) {
    this.word0 = word0 >>> 0;
    this.word1 = word1 >>> 0;
    this.word2 = word2 >>> 0;
    this.word3 = word3 >>> 0;
  }

  /** Reads the usual form, `8-4-4-4-12` hexadecimal digits in either case; throws `InvalidArgumentError` for any other. */
  static parse(text: string): Uuid {
    if (typeof text !== 'string' || !PATTERN.test(text)) {
      throw new InvalidArgumentError(`not a UUID: ${JSON.stringify(text)}`, { details: { found: text } });
    }
    const digits = text.replaceAll('-', '');
    const word = (index: number) => Number.parseInt(digits.slice(index * 8, index * 8 + 8), 16);
    return new Uuid(word(0), word(1), word(2), word(3));
  }

  /** The sixteen bytes at `at`, copied. */
  static fromBytes(bytes: Uint8Array, at = 0): Uuid {
    if (at < 0 || at + UUID_BYTES > bytes.length) {
      throw new InvalidArgumentError(`a UUID needs ${UUID_BYTES} bytes, found ${bytes.length - at}`);
    }
    return new Uuid(readWord(bytes, at), readWord(bytes, at + 4), readWord(bytes, at + 8), readWord(bytes, at + 12));
  }

  /** A version 4 UUID from sixteen random bytes handed in: this floor has no source of chance of its own. */
  static random(randomBytes: Uint8Array): Uuid {
    const raw = Uuid.fromBytes(randomBytes);
    return new Uuid(raw.word0, (raw.word1 & 0xffff0fff) | 0x4000, (raw.word2 & 0x3fffffff) | 0x80000000, raw.word3);
  }

  /** @internal */
  writeTo(bytes: Uint8Array, at: number): void {
    writeWord(bytes, at, this.word0);
    writeWord(bytes, at + 4, this.word1);
    writeWord(bytes, at + 8, this.word2);
    writeWord(bytes, at + 12, this.word3);
  }

  /** The 16 bytes. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(UUID_BYTES);
    this.writeTo(bytes, 0);
    return bytes;
  }

  /** Whether it is the same one: `===` compares objects. */
  equals(other: Uuid): boolean {
    return (
      this.word0 === other.word0 &&
      this.word1 === other.word1 &&
      this.word2 === other.word2 &&
      this.word3 === other.word3
    );
  }

  /** The usual form with hyphens, in lower case. */
  toString(): string {
    const digits = hex(this.word0) + hex(this.word1) + hex(this.word2) + hex(this.word3);
    const part = (from: number, to: number) => digits.slice(from, to);
    return `${part(0, 8)}-${part(8, 12)}-${part(12, 16)}-${part(16, 20)}-${part(20, 32)}`;
  }

  /** As `toString`. */
  toJSON(): string {
    return this.toString();
  }

  [INSPECT](): string {
    return `Uuid(${this.toString()})`;
  }
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}

function readWord(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

function writeWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}
