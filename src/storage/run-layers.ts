/**
 * Many sorted layers as few: a merged cursor looks at each of its layers at every step, and has room for a number of them
 * only. How many runs big transactions leave until the next checkpoint nobody knows.
 */
import { type CursorLayer, LayeredCursor } from './layered-cursor.ts';

/** As many layers as are passed on as they are. */
const FEW_LAYERS = 4;
const GROUP_LAYERS = 16;

/**
 * The same entries in `FEW_LAYERS` layers at most, removed ones included. Of layers without range removals, newest first:
 * of entries with one key and version the earlier layer's counts, before as after.
 */
export function fewLayers(layers: CursorLayer[]): CursorLayer[] {
  if (layers.length <= FEW_LAYERS) return layers;
  const groups: CursorLayer[] = [];
  for (let from = 0; from < layers.length; from += GROUP_LAYERS) {
    const group = layers.slice(from, from + GROUP_LAYERS);
    const cursor = new LayeredCursor(group, { showRemoved: true });
    const newest = Math.max(...group.map((layer) => layer.newest ?? Number.POSITIVE_INFINITY));
    groups.push({ cursor, snapshot: (group[0] as CursorLayer).snapshot, newest });
  }
  return fewLayers(groups);
}
