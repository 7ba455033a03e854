/** The command line: which verb, its help, and what errors say and exit with. */
import { createInterface } from 'node:readline/promises';
import { Readable, type Writable } from 'node:stream';
import { parseArgs } from 'node:util';
import { SopError } from '../index.ts';
import { backupCommand } from './backup-command.ts';
import {
  type Command,
  EXIT_CANNOT_OPEN,
  EXIT_DAMAGE,
  EXIT_DONE,
  EXIT_FAILED,
  EXIT_INTERRUPTED,
  EXIT_USAGE,
  type Host,
  type Invocation,
  type OptionConfig,
  type OptionValues,
  UsageError,
} from './command.ts';
import { infoCommand, metricsCommand, statsCommand, storesCommand, verifyCommand } from './database-commands.ts';
import { benchCommand } from './bench-command.ts';
import { completionsCommand } from './completions-command.ts';
import { dumpCommand } from './dump-command.ts';
import { getCommand, putCommand, rmCommand } from './entry-commands.ts';
import { exportCommand } from './export-command.ts';
import { commandHelp, generalHelp } from './help.ts';
import { importCommand } from './import-command.ts';
import { Output, OutputClosedError, type OutputStreams } from './output.ts';
import { pinCommand, pinsCommand, unpinCommand } from './pin-commands.ts';
import { salvageCommand } from './salvage-command.ts';
import { countCommand, scanCommand } from './scan-commands.ts';
import { shellCommand } from './shell-command.ts';
import { topCommand } from './top-command.ts';
import { compactCommand, dropCommand, renameCommand } from './upkeep-commands.ts';

const COMMANDS: readonly Command[] = [
  infoCommand,
  storesCommand,
  getCommand,
  putCommand,
  rmCommand,
  scanCommand,
  countCommand,
  importCommand,
  exportCommand,
  dropCommand,
  renameCommand,
  compactCommand,
  backupCommand,
  pinCommand,
  pinsCommand,
  unpinCommand,
  verifyCommand,
  salvageCommand,
  statsCommand,
  metricsCommand,
  dumpCommand,
  shellCommand,
  topCommand,
  benchCommand,
  completionsCommand,
];

const GLOBAL_OPTIONS: Readonly<Record<string, OptionConfig>> = {
  json: { type: 'boolean', help: 'JSON on standard output, for programs' },
  help: { type: 'boolean', short: 'h', help: 'what a verb does, with examples' },
  version: { type: 'boolean', help: 'the version of sop' },
};

export interface CliWorld extends OutputStreams {
  readonly stdin: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };
  readonly signal: AbortSignal;
  readonly version: () => string;
  /** Draw in colours where standard output is a terminal. */
  readonly colours: boolean;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** Runs one command; answers the exit code. */
export async function runCli(argv: readonly string[], world: CliWorld): Promise<number> {
  const { stdin, stderr, signal } = world;
  const isTalking = stdin.isTTY === true && stderr.isTTY === true && stdin instanceof Readable;
  const ask = isTalking ? (question: string) => askAt(stdin, stderr, question, signal) : undefined;
  return runOne(argv, world, { signal, input: stdin, ask });
}

type Setting = Pick<Invocation, 'signal' | 'input' | 'ask'>;

async function askAt(input: Readable, output: Writable, question: string, signal: AbortSignal): Promise<string> {
  const talk = createInterface({ input, output });
  try {
    return await talk.question(question, { signal });
  } finally {
    talk.close();
  }
}

async function runOne(argv: readonly string[], world: CliWorld, setting: Setting): Promise<number> {
  const json = argv.includes('--json');
  const colours = world.colours && world.stdout.isTTY === true && !json;
  const out = new Output(world, { json, colours });
  try {
    const code = await dispatch(argv, world, setting, out);
    await out.flush();
    return code;
  } catch (error) {
    if (error instanceof OutputClosedError) return out.verdict;
    return report(error, argv, out, setting.signal);
  }
}

async function dispatch(argv: readonly string[], world: CliWorld, setting: Setting, out: Output): Promise<number> {
  const [verb, ...rest] = argv;
  if (verb === '--version') {
    await out.line(world.version());
    return EXIT_DONE;
  }
  if (verb === undefined || verb === '--help' || verb === '-h' || verb === 'help') {
    const about = COMMANDS.find((command) => command.name === rest[0]);
    if (about === undefined && rest[0] !== undefined) throw unknownVerb(rest[0]);
    await out.line(about === undefined ? generalHelp(COMMANDS, out) : commandHelp(about, GLOBAL_OPTIONS, out));
    return verb === undefined ? EXIT_USAGE : EXIT_DONE;
  }
  const command = COMMANDS.find(({ name }) => name === verb);
  if (command === undefined) throw unknownVerb(verb);
  const { options, positionals } = parse(command, rest);
  if (options.help === true) {
    await out.line(commandHelp(command, GLOBAL_OPTIONS, out));
    return EXIT_DONE;
  }
  const host: Host = {
    commands: COMMANDS,
    globals: GLOBAL_OPTIONS,
    environment: world.environment ?? {},
    run: (line, inner) => runOne(line, world, inner),
  };
  return command.run({ positionals, options, out, ...setting, host });
}

/** Marks arguments such as -5: a negative number is no option. */
const NEGATIVE = '\0';

function parse(command: Command, argv: readonly string[]): { options: OptionValues; positionals: string[] } {
  const config: Record<string, OptionConfig> = { ...GLOBAL_OPTIONS, ...command.options };
  const args = argv.map((text) => (/^-[\d.]/.test(text) ? NEGATIVE + text : text));
  const unmark = (text: string) => (text.startsWith(NEGATIVE) ? text.slice(1) : text);
  try {
    const { values, positionals } = parseArgs({ args, options: config, allowPositionals: true, strict: true });
    const options: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(values)) {
      options[name] = Array.isArray(value)
        ? value.map((one) => (typeof one === 'string' ? unmark(one) : one))
        : typeof value === 'string'
          ? unmark(value)
          : value;
    }
    return { options: options as OptionValues, positionals: positionals.map(unmark) };
  } catch (error) {
    const message = (error as Error).message.split('. ')[0] ?? '';
    throw new UsageError(message.charAt(0).toLowerCase() + message.slice(1));
  }
}

function unknownVerb(verb: string): UsageError {
  const near = COMMANDS.find(({ name }) => differences(name, verb) <= 2);
  const hint = near === undefined ? '' : `; did you mean '${near.name}'?`;
  return new UsageError(`there is no verb '${verb}'${hint}`);
}

/** Letters to insert, remove or change to make one word of the other. */
function differences(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const changed = (row[j] as number) + (a[i] === b[j] ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** What to do about it, by error code. */
const HINTS: Readonly<Record<string, string>> = {
  DATABASE_NOT_FOUND: 'check the folder; sop import, or sop put --create, makes a new database',
  DATABASE_LOCKED: 'another program has it open for writing; reading verbs work beside it',
  STORE_NOT_FOUND: 'sop stores <folder> lists what there is',
  PIN_NOT_FOUND: 'sop pins <folder> lists what there is',
  BACKUP_INCOMPLETE: 'run sop backup into it again, or remove it and run sop salvage again',
  STORE_MISMATCH: 'sop stores <folder> shows how the store is defined',
  CORRUPTION: 'sop verify <folder> names everything that is damaged; sop salvage rescues what is readable',
  NATIVE_MISSING: 'reading verbs work without it',
};

function report(error: unknown, argv: readonly string[], out: Output, signal: AbortSignal): number {
  if (error instanceof UsageError) {
    const verb = COMMANDS.find(({ name }) => name === argv[0])?.name;
    const help = verb === undefined ? 'sop --help' : `sop ${verb} --help`;
    if (out.json) out.error(JSON.stringify({ error: { code: 'USAGE', message: error.message } }));
    else out.error(`sop${verb === undefined ? '' : ` ${verb}`}: ${error.message}\n  ${help} shows examples`);
    return EXIT_USAGE;
  }
  if (signal.aborted) return EXIT_INTERRUPTED;
  const { message } = error as Error;
  const code = error instanceof SopError ? error.code : String((error as NodeJS.ErrnoException).code ?? 'UNEXPECTED');
  if (out.json) {
    const details = error instanceof SopError ? error.details : {};
    out.error(JSON.stringify({ error: { code, message, details } }));
  } else {
    const hint = HINTS[code];
    out.error(`sop: ${message} (${code})${hint === undefined ? '' : `\n  ${hint}`}`);
    if (!(error instanceof SopError) && code === 'UNEXPECTED') out.error(String((error as Error).stack));
  }
  return exitCodeOf(code);
}

const CANNOT_OPEN: readonly string[] = [
  'DATABASE_NOT_FOUND',
  'DATABASE_LOCKED',
  'STORE_NOT_FOUND',
  'FORMAT_UNSUPPORTED',
  'NATIVE_MISSING',
];

function exitCodeOf(code: string): number {
  if (CANNOT_OPEN.includes(code)) return EXIT_CANNOT_OPEN;
  if (code === 'CORRUPTION') return EXIT_DAMAGE;
  return code === 'ABORTED' ? EXIT_INTERRUPTED : EXIT_FAILED;
}
