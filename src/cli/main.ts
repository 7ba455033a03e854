/** The command `sop`: hands the process to `runCli` and takes its exit code. */
import { existsSync, readFileSync } from 'node:fs';
import { runCli } from './cli.ts';

/** The package's own description stands beside `dist/` and above `src/`. */
function readVersion(): string {
  const places = ['../package.json', '../../package.json'].map((path) => new URL(path, import.meta.url));
  const place = places.find((url) => existsSync(url));
  return place === undefined ? 'unknown' : (JSON.parse(readFileSync(place, 'utf8')) as { version: string }).version;
}

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

const { stdin, stdout, stderr } = process;
const { env: environment } = process;
// no-color.org: any text but the empty one switches colours off.
const colours = (environment.NO_COLOR ?? '') === '' && environment.TERM !== 'dumb';
const world = { stdin, stdout, stderr, signal: interrupted.signal, version: readVersion, colours, environment };

process.exitCode = await runCli(process.argv.slice(2), world);
