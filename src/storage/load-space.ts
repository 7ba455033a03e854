/** Fills `state.space` with the rows of the current root's segment store. */
import { alignUp } from '../base/bytes.ts';
import { AT } from '../node/entry-cursor.ts';
import type { ImageCache } from '../node/image-cache.ts';
import { TreeCursor } from '../tree/tree-cursor.ts';
import type { SnapshotReader } from './snapshot-reader.ts';
import type { Space } from './space.ts';
import { SEGMENT_STORE } from './system-stores.ts';
import type { Root } from './view.ts';

/** Waits for the disk. */
export function loadSpace(space: Space, root: Root, reader: SnapshotReader, cache: ImageCache): void {
  const tree = reader.tree(root, SEGMENT_STORE);
  if (tree !== undefined) {
    const cursor = new TreeCursor(cache, tree);
    cursor.waits = true;
    for (let step = cursor.first(); step === AT; step = cursor.next()) {
      const { keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd } = cursor;
      space.load(keyBytes, keyStart, keyEnd, cellBytes, cellStart, cellEnd);
    }
  }
  // The forest's root is a checkpoint's last image, appended when the rows were written already.
  const { forest } = root.record;
  if (forest !== undefined) space.noteNamed(forest.segment, forest.offset + alignUp(forest.length, 8));
}
