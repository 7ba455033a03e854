/** What a verb of the command line is, and what it is handed. */
import type { ParseArgsConfig } from 'node:util';
import type { Output } from './output.ts';

/**
 * Exit codes, a contract like the error codes: 0 done; 1 the answer is no (nothing under that key, nothing removed); 2 the
 * command was not understood; 3 the database or store cannot
 * be opened (missing, locked, another format); 4 damage was found;
 * 5 anything else that went wrong; 130 interrupted.
 */
export const EXIT_DONE = 0;
export const EXIT_NO = 1;
export const EXIT_USAGE = 2;
export const EXIT_CANNOT_OPEN = 3;
export const EXIT_DAMAGE = 4;
export const EXIT_FAILED = 5;
export const EXIT_INTERRUPTED = 130;

/** The command was not understood; the message says what would be. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export type OptionConfig = NonNullable<ParseArgsConfig['options']>[string] & {
  /** For the help: what the value stands for. */
  readonly value?: string;
  readonly help: string;
};

export type OptionValues = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;

export interface Invocation {
  readonly positionals: readonly string[];
  readonly options: OptionValues;
  readonly out: Output;
  /** Bytes from standard input. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Fires when the user interrupts. */
  readonly signal: AbortSignal;
  /** Asks the user and answers what was typed; undefined where nobody sits at a terminal. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  readonly host: Host;
}

/** The command line itself, for verbs that run or describe other verbs. */
export interface Host {
  readonly commands: readonly Command[];
  readonly globals: Readonly<Record<string, OptionConfig>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Runs a command as if it had been given to `sop`; answers its exit code. What goes wrong has been reported then. */
  run(argv: readonly string[], setting: Pick<Invocation, 'signal' | 'input' | 'ask'>): Promise<number>;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Positionals, as the help shows them: `<folder> <store> <key>`. */
  readonly usage: string;
  readonly details?: string;
  readonly options: Readonly<Record<string, OptionConfig>>;
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** Answers the exit code. */
  run(call: Invocation): Promise<number>;
}

export function textOption(options: OptionValues, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

export function flagOption(options: OptionValues, name: string): boolean {
  return options[name] === true;
}

export function listOption(options: OptionValues, name: string): readonly string[] {
  const value = options[name];
  return Array.isArray(value) ? value.map(String) : [];
}

/** A whole number from zero. */
export function numberOption(options: OptionValues, name: string): number | undefined {
  const text = textOption(options, name);
  if (text === undefined) return undefined;
  const value = Number(text.replaceAll('_', ''));
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new UsageError(`--${name} takes a whole number from zero, not '${text}'`);
  }
  return value;
}

/** Exactly these positionals. */
export function takePositionals(call: Invocation, ...names: readonly string[]): string[] {
  const { positionals } = call;
  if (positionals.length < names.length) throw new UsageError(`${names[positionals.length]} is missing`);
  if (positionals.length > names.length) {
    throw new UsageError(`'${positionals[names.length]}' is one argument too many`);
  }
  return [...positionals];
}

/** Whether the user agrees: `--yes`, or the answer at a terminal. `UsageError` where nobody can be asked. */
export async function confirm(call: Invocation, what: string): Promise<boolean> {
  if (flagOption(call.options, 'yes')) return true;
  if (call.ask === undefined || call.out.json) throw new UsageError(`${what}; say so with --yes`);
  const answer = await call.ask(`${what}. Go on? [y/N] `);
  return /^\s*y(es)?\s*$/i.test(answer);
}
