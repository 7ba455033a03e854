/**
 * The search for cycles in what transactions saw of each other, after the method of Elle (Kingsbury and Alvaro, 2020): the
 * versions of each key give three kinds of "must come before":
 *
 *   ww   wrote the version before the other one's     wr   wrote what the other one read
 *   rw   read what the other one overwrote            rt   was answered before the other one began
 *
 * A history is strictly serializable where these have no cycle. A cycle is named after what it needs: G0 (ww alone), G1c (wr too),
 * G-single (one rw), G2 (more); "-realtime" where it needs rt. The numbers the engine gave must agree with the same edges.
 */
import type { ObservedTransaction } from './observed-history.ts';
import { type Anomaly, VersionOrders } from './version-orders.ts';

export const WW = 1;
export const WR = 2;
export const RW = 4;
export const RT = 8;
const KIND_NAMES = new Map([
  [WW, 'ww'],
  [WR, 'wr'],
  [RW, 'rw'],
  [RT, 'rt'],
]);

export interface HistoryReport {
  readonly anomalies: readonly Anomaly[];
  readonly transactions: number;
  readonly committed: number;
  readonly edges: number;
}

/** Everything that is wrong with a history; nothing where it is strictly serializable. */
export function checkHistory(transactions: readonly ObservedTransaction[]): HistoryReport {
  const orders = new VersionOrders(transactions);
  const graph = new Graph(transactions.length);
  const anomalies = [...orders.anomalies];
  addVersionEdges(graph, orders);
  checkNumbers(graph, transactions, anomalies);
  const isIn = transactions.map((_, at) => orders.isIn(at));
  addTime(graph, transactions, isIn);
  const cycle = findCycle(graph, transactions);
  if (cycle !== undefined) anomalies.push(cycle);
  const committed = isIn.reduce((sum, one) => sum + (one ? 1 : 0), 0);
  return { anomalies, transactions: transactions.length, committed, edges: graph.edges };
}

/** Throws, naming the first few, where there are anomalies. */
export function expectSerializable(transactions: readonly ObservedTransaction[]): HistoryReport {
  const report = checkHistory(transactions);
  if (report.anomalies.length === 0) return report;
  const words = report.anomalies.slice(0, 5).map(({ name, words: told }) => `${name}: ${told}`);
  throw new Error(`${report.anomalies.length} anomalies in ${report.transactions} transactions\n${words.join('\n')}`);
}

/** Nodes are transactions, and behind them moments. Edges live in arrays, chained by their source. */
class Graph {
  edges = 0;
  nodes: number;
  #first: Int32Array;
  #next = new Int32Array(1024);
  #target = new Int32Array(1024);
  #kind = new Uint8Array(1024);

  constructor(nodes: number) {
    this.nodes = nodes;
    // A moment for every end.
    this.#first = new Int32Array(2 * nodes + 2).fill(-1);
  }

  add(from: number, to: number, kind: number): void {
    if (from === to) return;
    if (this.edges === this.#next.length) this.#grow();
    const edge = this.edges++;
    this.#target[edge] = to;
    this.#kind[edge] = kind;
    this.#next[edge] = this.#first[from] as number;
    this.#first[from] = edge;
  }

  first(node: number): number {
    return this.#first[node] as number;
  }

  next(edge: number): number {
    return this.#next[edge] as number;
  }

  target(edge: number): number {
    return this.#target[edge] as number;
  }

  kind(edge: number): number {
    return this.#kind[edge] as number;
  }

  #grow(): void {
    const size = this.#next.length * 2;
    const grown = (old: Int32Array): Int32Array<ArrayBuffer> => {
      const array = new Int32Array(size);
      array.set(old);
      return array;
    };
    this.#next = grown(this.#next);
    this.#target = grown(this.#target);
    const kinds = new Uint8Array(size);
    kinds.set(this.#kind);
    this.#kind = kinds;
  }
}

function addVersionEdges(graph: Graph, orders: VersionOrders): void {
  const writerAt = (order: readonly (number | undefined)[], version: number): number | undefined => {
    const element = order[version - 1];
    return element === undefined ? undefined : orders.writerOf(element);
  };
  for (const order of orders.orders.values()) {
    for (let version = 2; version <= order.length; version++) {
      const before = writerAt(order, version - 1);
      const after = writerAt(order, version);
      if (before !== undefined && after !== undefined) graph.add(before, after, WW);
    }
  }
  for (const { transaction, key, version } of orders.reads) {
    const order = orders.orders.get(key) ?? [];
    const writer = writerAt(order, version);
    if (writer !== undefined) graph.add(writer, transaction, WR);
    const overwriter = writerAt(order, version + 1);
    if (overwriter !== undefined) graph.add(transaction, overwriter, RW);
  }
}

/** Writers by their number, readers just behind their snapshot: no edge may lead backwards. */
function checkNumbers(graph: Graph, transactions: readonly ObservedTransaction[], anomalies: Anomaly[]): void {
  const places = transactions.map(({ outcome, writes, number, snapshot }) => {
    if (outcome !== 'ok' || number === undefined || Number.isNaN(number)) return undefined;
    return writes ? number : snapshot + 0.5;
  });
  for (let at = 0; at < transactions.length; at++) {
    const from = places[at];
    if (from === undefined) continue;
    for (let edge = graph.first(at); edge >= 0; edge = graph.next(edge)) {
      const to = places[graph.target(edge)];
      if (to === undefined || to > from) continue;
      const names = `${transactions[at]?.name} (${from}) -${KIND_NAMES.get(graph.kind(edge))}-> ${transactions[graph.target(edge)]?.name} (${to})`;
      anomalies.push({ name: 'numbers disagree', words: names });
    }
  }
}

/** Moments in a chain stand between those who ended and those who began later: a few edges a transaction. */
function addTime(graph: Graph, transactions: readonly ObservedTransaction[], isIn: readonly boolean[]): void {
  const ends = transactions.map((_, at) => at).filter((at) => isIn[at] && Number.isFinite(transactions[at]?.ended));
  ends.sort((a, b) => (transactions[a] as ObservedTransaction).ended - (transactions[b] as ObservedTransaction).ended);
  const base = transactions.length;
  ends.forEach((at, i) => {
    graph.add(at, base + i, RT);
    if (i > 0) graph.add(base + i - 1, base + i, RT);
  });
  graph.nodes = base + ends.length;
  const moments = Float64Array.from(ends, (at) => (transactions[at] as ObservedTransaction).ended);
  transactions.forEach(({ began }, at) => {
    if (!isIn[at]) return;
    const i = endsBefore(moments, began);
    if (i > 0) graph.add(base + i - 1, at, RT);
  });
}

function endsBefore(moments: Float64Array, moment: number): number {
  let low = 0;
  let high = moments.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((moments[middle] as number) < moment) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The plainest cycle there is: each kind of graph is searched before a richer one. */
function findCycle(graph: Graph, transactions: readonly ObservedTransaction[]): Anomaly | undefined {
  if (smallestComponent(graph, WW | WR | RW | RT) === undefined) return undefined;
  for (const time of [0, RT]) {
    const suffix = time === 0 ? '' : '-realtime';
    for (const [name, kinds] of [
      ['G0', WW],
      ['G1c', WW | WR],
    ] as const) {
      const nodes = smallestComponent(graph, kinds | time);
      if (nodes !== undefined)
        return describe(name + suffix, graph, shortestCycle(graph, nodes, kinds | time, 0), transactions);
    }
    const nodes = smallestComponent(graph, WW | WR | RW | time);
    if (nodes === undefined) continue;
    const single = shortestCycle(graph, nodes, WW | WR | time, RW);
    if (single !== undefined) return describe(`G-single${suffix}`, graph, single, transactions);
    return describe(`G2${suffix}`, graph, shortestCycle(graph, nodes, WW | WR | RW | time, 0), transactions);
  }
  return { name: 'cycle', words: 'one that nobody can name' };
}

/** Tarjan's components, without recursion; answers the smallest one of more than one node. */
function smallestComponent(graph: Graph, kinds: number): Set<number> | undefined {
  const count = graph.nodes;
  const index = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const onStack = new Uint8Array(count);
  const edgeOf = new Int32Array(count);
  const stack: number[] = [];
  let found: number[] | undefined;
  let next = 0;
  for (let start = 0; start < count; start++) {
    if (index[start] !== -1) continue;
    const path = [start];
    const enter = (node: number): void => {
      index[node] = low[node] = next++;
      edgeOf[node] = graph.first(node);
      stack.push(node);
      onStack[node] = 1;
    };
    enter(start);
    while (path.length > 0) {
      const node = path[path.length - 1] as number;
      const edge = edgeOf[node] as number;
      if (edge >= 0) {
        edgeOf[node] = graph.next(edge);
        if ((graph.kind(edge) & kinds) === 0) continue;
        const target = graph.target(edge);
        if (index[target] === -1) {
          enter(target);
          path.push(target);
        } else if (onStack[target] === 1) low[node] = Math.min(low[node] as number, index[target] as number);
        continue;
      }
      path.pop();
      const parent = path[path.length - 1];
      if (parent !== undefined) low[parent] = Math.min(low[parent] as number, low[node] as number);
      if (low[node] !== index[node]) continue;
      const members = stack.splice(stack.lastIndexOf(node));
      for (const member of members) onStack[member] = 0;
      if (members.length > 1 && (found === undefined || members.length < found.length)) found = members;
    }
  }
  return found === undefined ? undefined : new Set(found);
}

/** A cycle as its edges. With `firstKind` its first edge is of that kind and the way back of `kinds`. */
function shortestCycle(
  graph: Graph,
  nodes: ReadonlySet<number>,
  kinds: number,
  firstKind: number,
): number[] | undefined {
  let best: number[] | undefined;
  for (const node of nodes) {
    for (let edge = graph.first(node); edge >= 0; edge = graph.next(edge)) {
      const target = graph.target(edge);
      if (!nodes.has(target) || (graph.kind(edge) & (firstKind === 0 ? kinds : firstKind)) === 0) continue;
      const back = shortestWay(graph, nodes, target, node, kinds);
      if (back !== undefined && (best === undefined || back.length + 1 < best.length)) best = [edge, ...back];
      if (best?.length === 2) return best;
    }
  }
  return best;
}

function shortestWay(
  graph: Graph,
  nodes: ReadonlySet<number>,
  from: number,
  to: number,
  kinds: number,
): number[] | undefined {
  const cameBy = new Map<number, { edge: number; node: number }>();
  let front = [from];
  const seen = new Set(front);
  while (front.length > 0) {
    const following: number[] = [];
    for (const node of front) {
      for (let edge = graph.first(node); edge >= 0; edge = graph.next(edge)) {
        const target = graph.target(edge);
        if ((graph.kind(edge) & kinds) === 0 || !nodes.has(target) || seen.has(target)) continue;
        seen.add(target);
        cameBy.set(target, { edge, node });
        if (target === to) return wayBack(cameBy, from, to);
        following.push(target);
      }
    }
    front = following;
  }
  return undefined;
}

function wayBack(cameBy: ReadonlyMap<number, { edge: number; node: number }>, from: number, to: number): number[] {
  const edges: number[] = [];
  for (let node = to; node !== from; ) {
    const step = cameBy.get(node) as { edge: number; node: number };
    edges.unshift(step.edge);
    node = step.node;
  }
  return edges;
}

function describe(
  name: string,
  graph: Graph,
  cycle: readonly number[] | undefined,
  transactions: readonly ObservedTransaction[],
): Anomaly {
  const words: string[] = [];
  for (const edge of cycle ?? []) {
    const one = transactions[graph.target(edge)];
    // Moments only carry time from one transaction to another.
    const kind = KIND_NAMES.get(graph.kind(edge));
    if (one !== undefined)
      words.push(`-${kind}-> ${one.name} (${one.outcome}: ${JSON.stringify(one.observations).slice(0, 300)})`);
  }
  return { name, words: words.join('\n    ') };
}
