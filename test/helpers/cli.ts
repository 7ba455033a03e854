/** Runs a command of the command line in this process, with its output collected. */
import { Readable, Writable } from 'node:stream';
import { runCli } from '../../src/cli/cli.ts';

class Collected extends Writable {
  readonly parts: Buffer[] = [];
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.parts.push(chunk);
    done();
  }
  get text(): string {
    return Buffer.concat(this.parts).toString();
  }
}

export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly bytes: Buffer;
}

export interface Setting {
  readonly input?: string;
  readonly signal?: AbortSignal;
  readonly onError?: (text: string) => void;
  readonly terminal?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

export async function sop(args: readonly string[], setting: Setting = {}): Promise<Answer> {
  const stdout = new Collected();
  const stderr = new Collected();
  const world = {
    stdin: Readable.from(setting.input === undefined ? [] : [Buffer.from(setting.input)]),
    stdout,
    stderr: Object.assign(stderr, { isTTY: setting.terminal === true, columns: 120 }),
    signal: setting.signal ?? new AbortController().signal,
    version: () => '1.2.3',
    colours: false,
    environment: setting.environment ?? {},
  };
  const code = await runCli(args, world);
  return { code, out: stdout.text, err: stderr.text, bytes: Buffer.concat(stdout.parts) };
}
