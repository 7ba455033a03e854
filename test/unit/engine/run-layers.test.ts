/** A hundred runs as few layers: the same entries, the newest of each key, in both directions. */
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../../src/env/simulated-random.ts';
import { LayeredCursor } from '../../../src/storage/layered-cursor.ts';
import { ListCursor } from '../../../src/storage/relocation.ts';
import { fewLayers } from '../../../src/storage/run-layers.ts';
import { bytesOf } from './small-engine.ts';

const seed = Number(process.env.SOP_SEED ?? Date.now() % 1_000_000);

interface Entry {
  readonly cell: Uint8Array | undefined;
  readonly version: number;
}

describe(`many runs in few layers (SOP_SEED=${seed})`, () => {
  for (const runs of [0, 1, 4, 5, 31, 32, 100, 300]) {
    it(`shows what ${runs} of them hold`, () => {
      const random = new SeededRandom(seed + runs);
      const model = new Map<string, Entry>();
      const layers = [];
      for (let version = 1; version <= runs; version++) {
        const own = new Map<string, Entry>();
        for (let i = 0; i < 20; i++) {
          const removed = random.below(4) === 0;
          const entry = { cell: removed ? undefined : Uint8Array.of(0, version), version };
          own.set(`key-${String(random.below(500)).padStart(3, '0')}`, entry);
        }
        for (const [key, entry] of own) model.set(key, entry);
        const sorted = [...own].sort(([a], [b]) => (a < b ? -1 : 1));
        const cells = sorted.map(([key, entry]) => ({ key: bytesOf(key), ...entry }));
        // Newest first, as tables keep them.
        layers.unshift({ cursor: new ListCursor(cells), snapshot: runs, newest: version });
      }
      const few = fewLayers(layers);
      expect(few.length).toBeLessThanOrEqual(4);
      const cursor = new LayeredCursor(few);
      const keys = [...model]
        .filter(([, entry]) => entry.cell !== undefined)
        .map(([key]) => key)
        .sort();
      const shown = (): string => new TextDecoder().decode(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd));
      const check = (key: string | undefined): void => {
        expect(shown()).toBe(key);
        expect(cursor.version).toBe(model.get(key as string)?.version);
      };
      let at = 0;
      for (let step = cursor.first(); step === 1; step = cursor.next()) check(keys[at++]);
      expect(at).toBe(keys.length);
      for (let step = cursor.last(); step === 1; step = cursor.previous()) check(keys[--at]);
      expect(at).toBe(0);
      for (let i = 0; i < 50; i++) {
        const wanted = `key-${String(random.below(500)).padStart(3, '0')}`;
        const bytes = bytesOf(wanted);
        const next = keys.find((key) => key >= wanted);
        if (cursor.seek(bytes, 0, bytes.length) === 1) check(next);
        else expect(next).toBeUndefined();
      }
    });
  }
});
