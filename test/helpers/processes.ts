/** Other processes of the tests: TypeScript programs that say lines on descriptor 3 and hear lines on their standard input. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface LineProcess {
  readonly pid: number;
  /** Everything said so far. */
  readonly lines: readonly string[];
  /** Resolves with everything said, once the process is gone and its last line read. */
  readonly ended: Promise<{
    readonly lines: readonly string[];
    readonly signal: string | null;
    readonly code: number | null;
  }>;
  /** What it wrote to standard error, for a failure's message. */
  readonly complaints: string;
  /** Resolves with the first line that `accept` takes, said before or after the call; rejects where the process ends first. */
  saying(accept: (line: string) => boolean): Promise<string>;
  tell(line: string): void;
  /** What `hear` takes as the end. */
  endInput(): void;
  kill(signal?: NodeJS.Signals): void;
}

interface Listener {
  readonly accept: (line: string) => boolean;
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
}

/** Those still running when the test process ends are taken along. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a quarter as long; filled by processes that end by themselves. */
const COMPILE_CACHE = join(import.meta.dirname, '..', '..', '.sop-setup', 'compile-cache');

/** Starts `node file args...`. */
export function startProcess(
  file: string,
  args: readonly string[] = [],
  nodeFlags: readonly string[] = [],
): LineProcess {
  const flags = ['--no-warnings', '--experimental-strip-types', ...nodeFlags];
  const child = spawn(process.execPath, [...flags, file, ...args], {
    stdio: ['pipe', 'inherit', 'pipe', 'pipe'],
    env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE },
  });
  running.add(child);
  const lines: string[] = [];
  const listeners = new Set<Listener>();
  let complaints = '';
  child.stderr?.on('data', (data: Buffer) => {
    complaints = (complaints + data.toString('utf8')).slice(-20_000);
  });
  child.stdin?.on('error', () => undefined);
  createInterface({ input: child.stdio[3] as Readable }).on('line', (line) => {
    lines.push(line);
    for (const listener of [...listeners]) {
      if (!listener.accept(line)) continue;
      listeners.delete(listener);
      listener.resolve(line);
    }
  });
  const ended = new Promise<{ lines: readonly string[]; signal: string | null; code: number | null }>((resolve) => {
    child.on('close', (code, signal) => {
      running.delete(child);
      for (const { reject } of listeners)
        reject(new Error(`the process ended (${signal ?? code}) in silence\n${complaints}`));
      listeners.clear();
      resolve({ lines, signal, code });
    });
  });
  return {
    pid: child.pid as number,
    lines,
    ended,
    get complaints() {
      return complaints;
    },
    saying(accept) {
      const said = lines.find(accept);
      if (said !== undefined) return Promise.resolve(said);
      const answer = new Promise<string>((resolve, reject) => listeners.add({ accept, resolve, reject }));
      answer.catch(() => undefined);
      return answer;
    },
    tell: (line) => {
      child.stdin?.write(`${line}\n`);
    },
    endInput: () => {
      child.stdin?.end();
    },
    kill: (signal = 'SIGKILL') => {
      child.kill(signal);
    },
  };
}
