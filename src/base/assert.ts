/** Assertions about our own code. They stay on in production; nobody catches them. */

export class AssertionError extends Error {
  constructor(message: string) {
    super(`internal invariant broken: ${message}`);
    this.name = 'AssertionError';
  }
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the branch that cannot be reached. */
export function unreachable(message: string): never {
  throw new AssertionError(message);
}
