/**
 * What clients did, as it was seen from outside: every transaction with the moments of its first and its last word, what it
 * read, what it wrote, and how it ended. The moments are places in one list of lines, so they are comparable across processes.
 *
 * Whatever a store looks like, an observation is about a key with versions: a list that grows, a register whose value says its
 * own version, a range that only gains keys, a name that is claimed once. Every version is written by one element, and an
 * element is written once.
 *
 *   r <key> <e1,e2,...>   the key's versions, all of them, oldest first (nothing: it has none)
 *   v <key> <n> <e>       the key is at its n-th version, which `e` wrote (0: it has none)
 *   n <key> <n>           the key has n versions
 *   a <key> <e>           writes the key's next version
 *   w <key> <n> <e>       writes the key's n-th version
 */
export type Observation =
  | { readonly kind: 'all'; readonly key: string; readonly elements: readonly number[] }
  | { readonly kind: 'at'; readonly key: string; readonly version: number; readonly element: number }
  | { readonly kind: 'length'; readonly key: string; readonly version: number }
  | { readonly kind: 'append'; readonly key: string; readonly element: number; readonly version: number | undefined };

export type Outcome = 'ok' | 'fail' | 'unknown';

export interface ObservedTransaction {
  /** Who it was, for people. */
  readonly name: string;
  readonly writes: boolean;
  readonly began: number;
  /** When its answer came, or when it was over for good. */
  ended: number;
  outcome: Outcome;
  readonly observations: readonly Observation[];
  /** The number it was answered. */
  number: number | undefined;
  /** The number of the newest transaction it saw, where it was answered. */
  readonly snapshot: number;
}

/** Writes a transaction's observations as one line without line breaks. */
export function printObservation(one: Observation): string {
  switch (one.kind) {
    case 'all':
      return `r ${one.key} ${one.elements.join(',')}`;
    case 'at':
      return `v ${one.key} ${one.version} ${one.element}`;
    case 'length':
      return `n ${one.key} ${one.version}`;
    case 'append':
      return one.version === undefined ? `a ${one.key} ${one.element}` : `w ${one.key} ${one.version} ${one.element}`;
  }
}

export function parseObservations(text: string): Observation[] {
  return text === '' ? [] : text.split(';').map(parseObservation);
}

function parseObservation(text: string): Observation {
  const [kind, key = '', third = '', fourth = ''] = text.split(' ');
  switch (kind) {
    case 'r':
      return { kind: 'all', key, elements: third === '' ? [] : third.split(',').map(Number) };
    case 'v':
      return { kind: 'at', key, version: Number(third), element: Number(fourth) };
    case 'n':
      return { kind: 'length', key, version: Number(third) };
    case 'a':
      return { kind: 'append', key, element: Number(third), version: undefined };
    case 'w':
      return { kind: 'append', key, element: Number(fourth), version: Number(third) };
    default:
      throw new Error(`not an observation: ${JSON.stringify(text)}`);
  }
}

interface Begun {
  readonly name: string;
  readonly writes: boolean;
  readonly began: number;
  observations: readonly Observation[];
  asked: boolean;
}

/**
 * Listens to the lines of one process after another:
 *
 *   i <client> <w|r>                a transaction begins; said before anything of it happens
 *   c <client> <observations>       it is about to ask for its commit; observations are parted by semicolons
 *   o <client> <snapshot> <number>  it was answered: committed
 *   f <client>                      it was answered: refused
 *   u <client>                      it was answered: nobody knows
 */
export class HistoryListener {
  readonly transactions: ObservedTransaction[] = [];
  readonly #open = new Map<string, Begun>();
  #unknown: ObservedTransaction[] = [];
  #moment = 0;
  #process = 0;

  hear(line: string): void {
    this.#moment++;
    const [what, client = '', ...rest] = line.split(' ');
    if (what === 'i') this.#begin(client, rest[0] === 'w');
    else if (what === 'c') this.#ask(client, line.slice(3 + client.length));
    else if (what === 'o') this.#end(client, 'ok', Number(rest[0]), Number(rest[1]));
    else if (what === 'f') this.#end(client, 'fail', 0, undefined);
    else if (what === 'u') this.#end(client, 'unknown', 0, undefined);
  }

  /** The process is gone: whoever had no answer will get none. */
  processEnded(): void {
    this.#process++;
    this.#moment++;
    for (const client of [...this.#open.keys()]) {
      if (this.#open.get(client)?.asked === true) this.#end(client, 'unknown', 0, undefined);
      else this.#open.delete(client);
    }
  }

  /** The next process shows what is there: what took effect without an answer has done so by now. */
  processOpened(): void {
    this.#moment++;
    for (const one of this.#unknown) one.ended = this.#moment;
    this.#unknown = [];
  }

  #begin(client: string, writes: boolean): void {
    if (this.#open.has(client)) throw new Error(`client ${client} began twice`);
    const name = `${this.#process}/${client}/${this.#moment}`;
    this.#open.set(client, { name, writes, began: this.#moment, observations: [], asked: false });
  }

  #ask(client: string, text: string): void {
    const one = this.#open.get(client);
    if (one === undefined) throw new Error(`client ${client} commits what it did not begin`);
    one.observations = parseObservations(text);
    one.asked = true;
  }

  #end(client: string, outcome: Outcome, snapshot: number, number: number | undefined): void {
    const one = this.#open.get(client);
    if (one === undefined) throw new Error(`client ${client} was answered without having asked`);
    this.#open.delete(client);
    const { name, writes, began, observations } = one;
    // Without an answer it may still happen, until somebody has looked.
    const ended = outcome === 'unknown' ? Number.POSITIVE_INFINITY : this.#moment;
    const told: ObservedTransaction = { name, writes, began, ended, outcome, observations, number, snapshot };
    this.transactions.push(told);
    if (outcome === 'unknown') this.#unknown.push(told);
  }
}
