/** `sop shell`: a prompt over the same verbs, with the database opened once and transactions of several commands. */
import { basename, resolve } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { Readable } from 'node:stream';
import { Database, SopError, type Transaction } from '../index.ts';
import {
  type Command,
  EXIT_DONE,
  EXIT_INTERRUPTED,
  flagOption,
  type Invocation,
  takePositionals,
  UsageError,
} from './command.ts';
import { completeWord, takesFolder } from './complete.ts';
import { readLines, untilAborted } from './lines.ts';
import { holding } from './open.ts';
import { ShellHistory } from './shell-history.ts';
import { quoteWord, splitWords } from './shell-words.ts';

/** Verbs that want the terminal for themselves. */
const NOT_HERE: readonly string[] = ['shell', 'top'];
const OWN_WORDS: readonly (readonly [word: string, what: string])[] = [
  ['begin', 'what follows is one transaction, until commit or rollback'],
  ['commit', 'make it durable'],
  ['rollback', 'take it back'],
  ['help', 'this; help <verb> for one verb'],
  ['exit', 'leave, as Ctrl-D does'],
];

export const shellCommand: Command = {
  name: 'shell',
  summary: 'a prompt over these verbs, with the database open all the time',
  usage: '<folder>',
  details:
    'The folder is left out of every command: get users ada. JSON needs no quotes and may go over several lines; "5" is the ' +
    "text and 5 the number; 'single quotes' hold anything. Tab completes verbs, stores and options. Ctrl-C stops the command " +
    'that runs, Ctrl-D leaves. begin, commit and rollback make one transaction of several commands. Where another program ' +
    'writes the database it is opened for reading only.\n' +
    'Commands may also come from a pipe; then the exit code is that of the first one that failed.',
  options: {
    'read-only': { type: 'boolean', help: 'open for reading only; others may write' },
    create: { type: 'boolean', help: 'create the database where there is none' },
  },
  examples: [
    ['sop shell ./data', 'a prompt'],
    ["printf 'count users\\nget users ada\\n' | sop shell ./data --read-only", 'commands from a pipe'],
  ],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    await using db = await open(call, folder);
    const shell = new Shell(call, db, folder);
    try {
      return isTerminal(call.input) && call.out.terminal !== undefined
        ? await shell.talk(call.input)
        : await shell.readAll();
    } finally {
      await shell.end();
    }
  },
};

function isTerminal(input: unknown): input is Readable {
  return input instanceof Readable && (input as { isTTY?: unknown }).isTTY === true;
}

async function open(call: Invocation, folder: string): Promise<Database> {
  if (flagOption(call.options, 'read-only')) return Database.open(folder, { readOnly: true });
  try {
    return await Database.open(folder, { create: flagOption(call.options, 'create') });
  } catch (error) {
    if (!(error instanceof SopError) || !['DATABASE_LOCKED', 'NATIVE_MISSING'].includes(error.code)) throw error;
    call.out.note(`open for reading only: ${error.message}`);
    return Database.open(folder, { readOnly: true });
  }
}

class Shell {
  readonly #call: Invocation;
  readonly #db: Database;
  readonly #folder: string;
  #transaction: Transaction | undefined;
  /** The command that runs. */
  #running: AbortController | undefined;
  #ask: Invocation['ask'];
  #leaving = false;

  constructor(call: Invocation, db: Database, folder: string) {
    this.#call = call;
    this.#db = db;
    this.#folder = folder;
  }

  /** Rolls back what is left open. */
  async end(): Promise<void> {
    if (this.#transaction === undefined) return;
    await this.#transaction.rollback();
    this.#call.out.note('the open transaction was rolled back');
  }

  /** Commands from a pipe or file. */
  async readAll(): Promise<number> {
    let failed = EXIT_DONE;
    let text = '';
    for await (const lines of readLines(untilAborted(this.#call.input, this.#call.signal))) {
      for (const line of lines) {
        text = text === '' ? line.text : `${text}\n${line.text}`;
        if (splitWords(text).open) {
          text = withoutBackslash(text);
          continue;
        }
        const code = await this.#runText(text);
        if (failed === EXIT_DONE) failed = code;
        text = '';
        if (this.#call.signal.aborted) return EXIT_INTERRUPTED;
        if (this.#leaving) return failed;
      }
    }
    if (text.trim() === '') return failed;
    const code = await this.#runText(text);
    return failed === EXIT_DONE ? code : failed;
  }

  /** A prompt at a terminal. */
  async talk(input: Readable): Promise<number> {
    const history = new ShellHistory(this.#call.host.environment);
    const lines = createInterface({
      input,
      output: this.#call.out.terminal,
      history: [...history.lines],
      historySize: 1000,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, found: [string[], string]) => void) => {
        this.#complete(line).then(
          (found) => done(null, found),
          () => done(null, [[], line]),
        );
      },
    });
    this.#ask = async (question) => {
      const answer = await new Promise<string>((resolve) => lines.question(question, resolve));
      // An answer is no command: the next Arrow-Up is not to bring it back.
      const { history: kept } = lines as unknown as { readonly history?: string[] };
      if (kept?.[0] === answer) kept.shift();
      return answer;
    };
    this.#call.out.note(
      `${this.#folder}, ${this.#db.readOnly ? 'for reading only' : 'open'}; help lists what there is, Ctrl-D leaves`,
    );
    try {
      await this.#converse(lines, history);
    } finally {
      lines.close();
    }
    return EXIT_DONE;
  }

  async #converse(lines: Interface, history: ShellHistory): Promise<void> {
    const queue = new LineQueue(lines);
    let text = '';
    lines.on('SIGINT', () => {
      if (this.#running !== undefined) return this.#running.abort();
      text = '';
      this.#call.out.terminal?.write('^C\n');
      lines.write(null, { ctrl: true, name: 'e' });
      lines.write(null, { ctrl: true, name: 'u' });
      lines.setPrompt(this.#prompt());
      lines.prompt();
    });
    while (!this.#leaving) {
      lines.setPrompt(text === '' ? this.#prompt() : '...> ');
      const line = await queue.next(() => lines.prompt());
      if (line === undefined) break;
      history.add(line);
      text = text === '' ? line : `${text}\n${line}`;
      if (splitWords(text).open) {
        text = withoutBackslash(text);
        continue;
      }
      const command = text;
      text = '';
      await this.#runText(command);
    }
    if (!this.#leaving) this.#call.out.terminal?.write('\n');
  }

  #prompt(): string {
    const mark = this.#transaction === undefined ? '' : '*';
    return `${basename(resolve(this.#folder))}${mark}> `;
  }

  async #runText(text: string): Promise<number> {
    const { words } = splitWords(text);
    const [verb, ...rest] = words;
    if (verb === undefined || verb.startsWith('#')) return EXIT_DONE;
    const own = /^[.\\]/.test(verb) ? verb.slice(1) : verb;
    try {
      if (own === 'exit' || own === 'quit' || own === 'q') {
        this.#leaving = true;
        return EXIT_DONE;
      }
      if (own === 'begin' || own === 'commit' || own === 'rollback') return await this.#runTransactionWord(own);
      if (own === 'help' && rest[0] === undefined) return await this.#help();
      if (NOT_HERE.includes(verb))
        throw new UsageError(`'${verb}' wants the terminal for itself; run it outside of the shell`);
    } catch (error) {
      const code = error instanceof SopError ? ` (${error.code})` : '';
      this.#call.out.error(`sop: ${(error as Error).message}${code}`);
      return error instanceof UsageError ? 2 : 5;
    }
    return this.#runVerb(own === 'help' ? 'help' : verb, rest);
  }

  async #runVerb(verb: string, rest: readonly string[]): Promise<number> {
    const { host, signal } = this.#call;
    const command = host.commands.find(({ name }) => name === verb);
    const words = command !== undefined && takesFolder(command) ? [this.#folder, ...rest] : rest;
    const argv = [verb, ...words, ...(this.#call.out.json ? ['--json'] : [])];
    const running = new AbortController();
    const stop = () => running.abort();
    signal.addEventListener('abort', stop);
    this.#running = running;
    const db = this.#transaction === undefined ? this.#db : within(this.#db, this.#transaction);
    try {
      return await holding(db, this.#folder, () =>
        host.run(argv, { signal: running.signal, input: NO_INPUT, ask: this.#ask }),
      );
    } finally {
      this.#running = undefined;
      signal.removeEventListener('abort', stop);
      if (running.signal.aborted) this.#call.out.note('interrupted');
    }
  }

  async #runTransactionWord(word: 'begin' | 'commit' | 'rollback'): Promise<number> {
    const transaction = this.#transaction;
    if (word === 'begin') {
      if (transaction !== undefined) throw new UsageError('a transaction is open already; commit or rollback ends it');
      this.#transaction = await this.#db.begin(this.#db.readOnly ? 'read' : 'write');
      return EXIT_DONE;
    }
    if (transaction === undefined) throw new UsageError('there is no transaction; begin starts one');
    this.#transaction = undefined;
    if (word === 'commit') await transaction.commit();
    else await transaction.rollback();
    this.#call.out.note(word === 'commit' ? 'committed' : 'rolled back');
    return EXIT_DONE;
  }

  async #help(): Promise<number> {
    const { out, host } = this.#call;
    const verbs = host.commands
      .filter(({ name }) => !NOT_HERE.includes(name))
      .map(({ name, summary }) => [name, summary] as const);
    const all = [...verbs, ...OWN_WORDS];
    const width = Math.max(...all.map(([name]) => name.length));
    for (const [name, what] of all) await out.line(`  ${out.bold(name.padEnd(width))}  ${what}`);
    await out.line('');
    await out.line('The folder is left out: get users ada. JSON goes without quotes: put users ada {"name": "Ada"}');
    await out.flush();
    return EXIT_DONE;
  }

  async #complete(line: string): Promise<[string[], string]> {
    const { words, lastStart } = splitWords(line);
    const typed = line.slice(lastStart);
    const before = typed === '' ? words : words.slice(0, -1);
    const { commands, globals } = this.#call.host;
    const stores = async () => (await this.#db.stores()).map(({ name }) => quoteWord(name));
    if (before.length === 0) {
      const verbs = [...commands.map(({ name }) => name), ...OWN_WORDS.map(([word]) => word)];
      const found = verbs.filter((verb) => verb.startsWith(typed) && !NOT_HERE.includes(verb));
      return [found.map((verb) => `${verb} `), typed];
    }
    const found = await completeWord({ commands, globals, stores }, before[0] as string, before.slice(1), typed);
    return [found.map((word) => `${word} `), typed];
  }
}

/** Lines as they come, kept while nobody asks for one. */
class LineQueue {
  readonly #lines: string[] = [];
  #waiter: ((line: string | undefined) => void) | undefined;
  #closed = false;

  constructor(lines: Interface) {
    lines.on('line', (line) => this.#give(line));
    lines.on('close', () => {
      this.#closed = true;
      this.#waiter?.(undefined);
    });
  }

  /** Undefined at the end of the input. */
  next(prompt: () => void): Promise<string | undefined> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#waiter = resolve;
      prompt();
    });
  }

  #give(line: string): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) this.#lines.push(line);
    else waiter(line);
  }
}

/** The database as verbs see it while a transaction is open: their reads and writes are part of it. */
function within(db: Database, transaction: Transaction): Database {
  const read = async <T>(fn: (tx: Transaction) => T | Promise<T>): Promise<T> => fn(transaction);
  // What a command did before it failed is no part of it, as outside of a transaction.
  const write = async <T>(fn: (tx: Transaction) => T | Promise<T>): Promise<T> => {
    const before = transaction.savepoint();
    try {
      return await fn(transaction);
    } catch (error) {
      transaction.rollbackTo(before);
      throw error;
    }
  };
  return new Proxy(db, {
    get(target, name) {
      if (name === 'read') return read;
      if (name === 'write') return write;
      const found: unknown = Reflect.get(target, name, target);
      return typeof found === 'function' ? found.bind(target) : found;
    },
  });
}

function withoutBackslash(text: string): string {
  return text.endsWith('\\') ? text.slice(0, -1) : text;
}

const NO_INPUT: AsyncIterable<Uint8Array> = {
  // biome-ignore lint/correctness/useYield: it has nothing to give
  async *[Symbol.asyncIterator]() {
    throw new UsageError('standard input is the shell itself; give the value, or a file');
  },
};
