/**
 * What a database must hold after a crash, known outside of the process that crashed.
 *
 *  1. An acknowledged transaction is there, whole.
 *  2. One that was started and not acknowledged is there whole or not at all, and so it stays.
 *  3. Nothing else is there, and the shared counters add up to exactly the transactions that are.
 */
import { makePlan, type Plan, planName, TOTALS } from './group-plan.ts';
import {
  applyPlan,
  type ClientState,
  describeDifferences,
  fingerprint,
  type FoundState,
  NO_ENTRIES,
} from './group-state.ts';

interface Client {
  /** All that is known to be there. */
  state: ClientState;
  readonly totals: number[];
  /** Started, and not heard of since. */
  pending: Plan | undefined;
}

/** The entries of a client as its fingerprint, or whole. */
export type Found =
  | FoundState
  | { readonly fingerprints: ReadonlyMap<number, string>; readonly totals: readonly number[] };

export class GroupOracle {
  acknowledged = 0;
  /** Transactions without an answer, found whole; and found absent. */
  foundWhole = 0;
  foundAbsent = 0;
  checks = 0;
  readonly #seed: number;
  readonly #clients = new Map<number, Client>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  #client(client: number): Client {
    let found = this.#clients.get(client);
    if (found === undefined) {
      found = { state: NO_ENTRIES, totals: new Array<number>(TOTALS).fill(0), pending: undefined };
      this.#clients.set(client, found);
    }
    return found;
  }

  /** Everything a worker of this round said: 's client place' before a commit, 'a client place' after it. */
  hear(round: number, lines: readonly string[]): void {
    for (const line of lines) {
      const [what, client, place] = line.split(' ');
      if (what === 's') this.#started(round, Number(client), Number(place));
      else if (what === 'a') this.#acknowledged(planName(round, Number(client), Number(place)), Number(client));
    }
  }

  #started(round: number, client: number, place: number): void {
    const one = this.#client(client);
    if (one.pending !== undefined)
      throw new Error(`client ${client} started ${place} with ${one.pending.name} unanswered`);
    one.pending = makePlan(this.#seed, round, client, place);
  }

  #acknowledged(name: string, client: number): void {
    const one = this.#client(client);
    if (one.pending?.name !== name) throw new Error(`client ${client} was answered ${name} without having asked`);
    this.acknowledged++;
    this.#take(one);
  }

  #take(one: Client): void {
    const plan = one.pending as Plan;
    one.state = applyPlan(one.state, plan);
    if (plan.total !== undefined) (one.totals[plan.total] as number)++;
    one.pending = undefined;
  }

  /** Holds what was found after a crash against what was promised; from here on it is what must be there. Answers what is wrong. */
  check(found: Found): string[] {
    this.checks++;
    const wrong: string[] = [];
    const names = 'clients' in found ? found.clients : found.fingerprints;
    for (const client of new Set([...this.#clients.keys(), ...names.keys()]))
      wrong.push(...this.#checkClient(client, found));
    for (let i = 0; i < TOTALS; i++) {
      let sum = 0;
      for (const one of this.#clients.values()) sum += one.totals[i] as number;
      if (found.totals[i] !== sum) wrong.push(`total ${i} is ${found.totals[i]}, should be ${sum}`);
    }
    return wrong;
  }

  #checkClient(client: number, found: Found): string[] {
    const one = this.#client(client);
    const whole = 'clients' in found ? (found.clients.get(client) ?? NO_ENTRIES) : undefined;
    const is =
      whole !== undefined ? fingerprint(whole) : 'clients' in found ? '' : (found.fingerprints.get(client) ?? NOTHING);
    if (is === fingerprint(one.state)) {
      if (one.pending !== undefined) this.foundAbsent++;
      one.pending = undefined;
      return [];
    }
    if (one.pending !== undefined && is === fingerprint(applyPlan(one.state, one.pending))) {
      this.foundWhole++;
      this.#take(one);
      return [];
    }
    return describeClient(client, one, whole);
  }
}

const NOTHING = fingerprint(NO_ENTRIES);

function describeClient(client: number, one: Client, whole: ClientState | undefined): string[] {
  const last = one.state.get('heads') ?? 'nothing';
  const words = [
    `client ${client}: its entries are those of no prefix; acknowledged up to ${last}, unanswered ${one.pending?.name}`,
  ];
  if (whole === undefined) return words;
  words.push(`  newest there: ${whole.get('heads') ?? 'nothing'}`);
  for (const word of describeDifferences(one.state, whole)) words.push(`  ${word}`);
  return words;
}
