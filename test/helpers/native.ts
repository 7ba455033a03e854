/** What the tests of the native module share. */

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const PAGE = 4096;
export const PROGRAM = join(import.meta.dirname, 'native-program.ts');

export function temporaryFolder(under = tmpdir()): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(under, 'sop-native-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A file system of `sizeBytes`, or undefined where this user may not mount one. */
export function tinyVolume(sizeBytes: number): { path: string; [Symbol.dispose](): void } | undefined {
  const path = mkdtempSync(join(tmpdir(), 'sop-tiny-'));
  try {
    mkdirSync(path, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', path], { stdio: 'ignore' });
  } catch {
    rmSync(path, { recursive: true, force: true });
    return undefined;
  }
  const unmount = (): void => {
    execFileSync('umount', ['-l', path], { stdio: 'ignore' });
    rmSync(path, { recursive: true, force: true });
  };
  return { path, [Symbol.dispose]: unmount };
}

export interface Program {
  readonly output: Promise<string>;
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  readonly firstLine: Promise<string>;
  kill(): void;
  endInput(): void;
}

/** Runs the program of `native-program.ts` in a process of its own. */
export function startProgram(action: string, path: string, environment: Record<string, string> = {}): Program {
  const child = spawn(process.execPath, ['--no-warnings', '--experimental-strip-types', PROGRAM, action, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  });
  let text = '';
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  const firstLine = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (data) => {
      text += data;
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
    });
    child.on('close', () => reject(new Error(`${action} ended without a word`)));
  });
  firstLine.catch(() => undefined);
  return {
    ended,
    firstLine,
    output: ended.then(() => text),
    kill: () => child.kill('SIGKILL'),
    endInput: () => child.stdin.end(),
  };
}
