/** What a planted mistake is, and how it is planted and taken out again. */
export type Lane =
  | 'crash'
  | 'crash with backups'
  | 'crash with values'
  | 'crash with claims'
  | 'faults'
  | 'model'
  | 'model with spills'
  | 'mixed'
  | 'mixed with faults'
  | 'mixed clients'
  | 'schedules'
  | 'failing disk'
  | 'failed sync'
  | 'bank'
  | 'model with values'
  | 'trees'
  | 'overtaken'
  | 'zombie'
  | 'histories';

export interface PlantedBug {
  readonly name: string;
  readonly lane: Lane;
  plant(undo: Undo): void;
}

/** What was replaced, to be put back. */
export class Undo {
  readonly #steps: (() => void)[] = [];

  /** Puts another function in a method's place; `original` is bound where it is called with `this`. */
  method<T extends object, K extends keyof T>(prototype: T, name: K, replace: (original: T[K]) => unknown): void {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
    if (descriptor === undefined || typeof descriptor.value !== 'function')
      throw new Error(`no method ${String(name)} to patch`);
    Object.defineProperty(prototype, name, { ...descriptor, value: replace(descriptor.value as T[K]) });
    this.#steps.push(() => Object.defineProperty(prototype, name, descriptor));
  }

  getter<T extends object>(prototype: T, name: keyof T, get: (this: T, original: () => unknown) => unknown): void {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
    const original = descriptor?.get;
    if (descriptor === undefined || original === undefined) throw new Error(`no getter ${String(name)} to patch`);
    Object.defineProperty(prototype, name, {
      configurable: true,
      get(this: T) {
        return get.call(this, () => original.call(this));
      },
    });
    this.#steps.push(() => Object.defineProperty(prototype, name, descriptor));
  }

  all(): void {
    for (const step of this.#steps.splice(0).reverse()) step();
  }
}
