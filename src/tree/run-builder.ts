/** Runs: the sorted spill of one transaction, as a tree whose cells may be tombstones. */
import { TreeBuilder } from './tree-build.ts';
import type { TreeWriterOptions } from './tree-writer.ts';

/** Fed in key order; a removal is appended as a tombstone cell or by `appendRemoved`. */
export class RunBuilder extends TreeBuilder {
  constructor(options: TreeWriterOptions) {
    super({ ...options, tombstones: true });
  }
}
