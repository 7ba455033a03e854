/**
 * Node's own modules, taken without their ES module faces.
 *
 * Importing 'node:fs' builds a face of all its exports, which loads streams, promises and readline behind them: 3 to 11 ms
 * measured, where opening a database may take 5 in all. Asked for this way the same module costs 0.1 ms. So no file of the
 * engine imports 'node:fs', 'node:os' or 'node:crypto' as a value; types are free.
 */

export const fs = process.getBuiltinModule('node:fs');
export const nodePath = process.getBuiltinModule('node:path');

/** Loaded at the first need: 0.2 ms. */
export function hostName(): string {
  return process.getBuiltinModule('node:os').hostname();
}

/** Loaded at the first need: 3 ms. */
export function fillFromCrypto(bytes: Uint8Array): void {
  process.getBuiltinModule('node:crypto').randomFillSync(bytes);
}
