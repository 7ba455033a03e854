/**
 * Making functions from source text at run time, for what has a shape only known then: key objects, value objects.
 *
 * Where the host forbids it (`--disallow-code-generation-from-strings`, a policy) callers use their plain form, which
 * gives the same bytes and objects. Names from data enter source text only through `nameLiteral` and `propertyKey`.
 */

let allowed: boolean | undefined;

/** Whether functions may be made from text here. Asked once. */
export function canGenerateCode(): boolean {
  if (allowed === undefined) {
    try {
      allowed = new Function('return true')() === true;
    } catch {
      allowed = false;
    }
  }
  return allowed;
}

/** For tests and hosts with a policy of their own: what is compiled from here on uses the plain form. */
export function forbidCodeGeneration(forbidden: boolean): void {
  allowed = forbidden ? false : undefined;
}

/**
 * Runs `source`, the body of a function whose parameters are the names of `scope`, and returns its result: usually a
 * function that closes over what `scope` holds.
 */
export function generate(source: string, scope: Readonly<Record<string, unknown>>): unknown {
  const names = Object.keys(scope);
  const factory = new Function(...names, `'use strict';\n${source}`) as (...values: unknown[]) => unknown;
  return factory(...names.map((name) => scope[name]));
}

/** A name as a string literal, whatever it holds. */
export function nameLiteral(name: string): string {
  return JSON.stringify(name);
}

/** A name as the key of a property in an object literal; `__proto__` becomes a property like any other. */
export function propertyKey(name: string): string {
  return name === '__proto__' ? '["__proto__"]' : JSON.stringify(name);
}

/** Beyond so many properties a constructor is no help. */
const MOST_PARAMETERS = 200;

/**
 * Source text that makes an object of these names and values (expressions): by a constructor whose objects are in nothing
 * different from a literal's, their prototype being Object.prototype; see base/young.ts for the reason. A name that
 * Object.prototype knows must not be assigned: with one of these it is a literal after all.
 */
export function objectOf(
  names: readonly string[],
  values: readonly string[],
): { declaration: string; expression: string } {
  if (names.length > MOST_PARAMETERS || names.some((name) => name in Object.prototype)) {
    const properties = names.map((name, i) => `${propertyKey(name)}: ${values[i]}`);
    return { declaration: '', expression: `{ ${properties.join(', ')} }` };
  }
  const assignments = names.map((name, i) => `this[${nameLiteral(name)}] = v${i};`);
  const declaration = `function Plain(${names.map((_, i) => `v${i}`).join(', ')}) { ${assignments.join(' ')} }
  Plain.prototype = Object.prototype;`;
  return { declaration, expression: `new Plain(${values.join(', ')})` };
}

/** Sets an own property of a plain object, whatever Object.prototype has under that name: `__proto__`, frozen ones. */
export function setOwn(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name in target) {
    Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
  } else {
    target[name] = value;
  }
}
