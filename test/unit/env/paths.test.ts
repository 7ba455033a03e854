/** Paths of users, made absolute. */
import { posix, win32 } from 'node:path';
import { expect, test } from 'vitest';
import { absolutePath } from '../../../src/env/paths.ts';

test('an absolute path stays as it is, a relative one is that of the working directory', () => {
  expect(absolutePath('/data/db', posix)).toBe('/data/db');
  expect(absolutePath('/data/../db', posix)).toBe('/db');
  expect(absolutePath('db', posix)).toBe(`${process.cwd()}/db`);
});

test('on Windows every path gets its drive, one kind of separator and no doubled one', () => {
  // The long form that files are opened with takes the path to the letter: \\?\data\db would name no drive at all.
  expect(absolutePath('C:/data/', win32)).toBe('C:\\data');
  expect(absolutePath('C:\\data\\/sop.json', win32)).toBe('C:\\data\\sop.json');
  expect(absolutePath('C:\\/sop.json', win32)).toBe('C:\\sop.json');
  expect(absolutePath('/data/db', win32)).toMatch(/^(?:[A-Za-z]:)?\\data\\db$/);
  expect(absolutePath('\\\\server\\share\\db/log', win32)).toBe('\\\\server\\share\\db\\log');
  // Elsewhere there is no current drive; what Windows adds is `resolve`'s.
  expect(absolutePath('/data/db', win32)).toBe(win32.resolve('/data/db'));
});

test('what is no path is refused', () => {
  expect(() => absolutePath('')).toThrow(/empty/);
  expect(() => absolutePath('a\0b')).toThrow(/zero byte/);
});
