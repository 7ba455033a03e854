/**
 * Breadth-first search through all states of a small model: visits each once, and answers with the shortest way to the first one
 * that breaks a promise. A state is told by a string; what two members of equal rank have done is the same whoever did it.
 */
export interface Model<S> {
  readonly start: S;
  /** Everything that can happen next. */
  next(state: S): Iterable<readonly [label: string, state: S]>;
  /** The same for states that differ only in names. */
  key(state: S): string;
  /** The promise that is broken; undefined where all are kept. */
  broken(state: S): string | undefined;
}

export interface Exploration {
  readonly states: number;
  readonly steps: number;
  /** False where the limit of states was met before the end. */
  readonly complete: boolean;
  readonly counterexample: readonly string[] | undefined;
}

export function explore<S>(model: Model<S>, limit: number): Exploration {
  const known = new Map<string, number>();
  const parents: number[] = [-1];
  const labels: string[] = ['start'];
  let frontier: [number, S][] = [[0, model.start]];
  known.set(model.key(model.start), 0);
  let steps = 0;
  const way = (at: number, last: readonly string[]): string[] => {
    const found = [...last];
    for (let i = at; i > 0; i = parents[i] as number) found.unshift(labels[i] as string);
    return found;
  };
  while (frontier.length > 0) {
    const following: [number, S][] = [];
    for (const [at, state] of frontier) {
      for (const [label, reached] of model.next(state)) {
        steps++;
        const key = model.key(reached);
        if (known.has(key)) continue;
        const number = parents.length;
        known.set(key, number);
        parents.push(at);
        labels.push(label);
        const broken = model.broken(reached);
        if (broken !== undefined) {
          return { states: known.size, steps, complete: false, counterexample: way(number, [`so that ${broken}`]) };
        }
        following.push([number, reached]);
      }
      if (known.size > limit) return { states: known.size, steps, complete: false, counterexample: undefined };
    }
    frontier = following;
  }
  return { states: known.size, steps, complete: true, counterexample: undefined };
}
