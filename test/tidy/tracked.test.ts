/**
 * No address of a package registry and no path of somebody's machine is in what we track.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');

describe('what is tracked', () => {
  it.skipIf(!existsSync(join(root, '.git')))('names no registry and no path of a machine', () => {
    const names = [
      'https?://(registry|files|repo\\d?|proxy|deb)\\.',
      '(^|[^\\w.])/(work|root|home)/\\w',
      '/tmp/\\w+_jobs',
      '"resolved": *"',
    ];
    const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0');
    const isText = (file: string): boolean =>
      /\.(ts|mjs|cjs|js|json|md|cc|h|gyp|yml|py|sh)$|^[^.]*$|^\.\w+rc$|^\.ci\//.test(file);
    const strays = files.filter((file) => {
      if (
        file === '' ||
        !isText(file) ||
        !existsSync(join(root, file)) ||
        file === relative(root, import.meta.filename)
      )
        return false;
      return new RegExp(names.join('|'), 'm').test(readFileSync(join(root, file), 'utf8'));
    });
    expect(strays).toEqual([]);
  });
});
