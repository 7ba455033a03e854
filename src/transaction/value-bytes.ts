/**
 * Bytes of values in segments that no row of a root counts yet: for the size limit.
 *
 *  1. A checkpoint counts whole files, whoever wrote to them: what was written before it began counts here until it is through.
 *  2. A rollback gives back what it wrote since a checkpoint began. What stays in the file counts with the file from the next
 *     one on, as dead, and goes with a compaction.
 */
export class ValueBytes {
  /** By the checkpoints that had begun when they were written. */
  readonly #written = new Map<number, number>();

  add(byteLength: number, begun: number): void {
    this.#written.set(begun, (this.#written.get(begun) ?? 0) + byteLength);
  }

  giveBack(byteLength: number, begun: number): void {
    if (this.#written.has(begun)) this.add(-byteLength, begun);
  }

  /** What counts beside the root that the checkpoint made which was the `counted`th to begin. */
  beside(counted: number): number {
    let sum = 0;
    for (const [begun, byteLength] of this.#written) {
      if (begun < counted) this.#written.delete(begun);
      else sum += byteLength;
    }
    return sum;
  }
}
