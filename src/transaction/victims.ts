/**
 * Which segments the next cycle empties: what storage/space.ts chooses, less what is in use, pinned, or damaged.
 *
 * Segments whose emptying met damage are left alone by this opening: they keep nothing else from going on.
 */
import type { DatabaseState } from '../storage/database-state.ts';
import type { PinnedRoots } from '../storage/pinned-roots.ts';
import { chooseVictims, type VictimChoice } from '../storage/space.ts';

/** Live bytes that one cycle copies for compaction, about. */
const COMPACTION_BUDGET_BYTES = 32 * 1024 * 1024;
/** A segment so long is not shared with the next checkpoint, and giving back so much is worth a cycle of its own. */
export const GENERATION_BYTES = 16 * 1024 * 1024;
export const NO_CHOICE: VictimChoice = { victims: [], liveBytes: 0 };

export interface VictimsHost {
  readonly state: DatabaseState;
  readonly pinnedRoots: PinnedRoots;
  segmentsInUse(): Set<number>;
  backgroundError(error: unknown): void;
}

export class Victims {
  readonly #host: VictimsHost;
  readonly #damaged = new Set<number>();

  constructor(host: VictimsHost) {
    this.#host = host;
  }

  /** How many segments are left alone. */
  get damaged(): number {
    return this.#damaged.size;
  }

  noteDamaged(segments: Iterable<number>): void {
    for (const segment of segments) this.#damaged.add(segment);
  }

  /** Reads what pins name: throws where that can not be read. */
  choose(eager: boolean): VictimChoice {
    const { state, pinnedRoots } = this.#host;
    const pinned = pinnedRoots.segments();
    if (pinned === undefined) return NO_CHOICE;
    const inUse = this.#host.segmentsInUse();
    for (const segment of this.#damaged) inUse.add(segment);
    return chooseVictims(state.space, inUse, COMPACTION_BUDGET_BYTES, eager, pinned);
  }

  /** Whether what the last checkpoint left dead is nearly free to give back. */
  areCheap(): boolean {
    const { victims, liveBytes } = this.choose(false);
    const { segments } = this.#host.state.space;
    const bytes = victims.reduce((sum, victim) => sum + (segments.get(victim)?.totalBytes ?? 0), 0);
    return bytes >= GENERATION_BYTES && liveBytes <= bytes / 16;
  }

  /** Whether there is more dead than is tolerated. */
  areThere(): boolean {
    try {
      return this.choose(false).victims.length > 0;
    } catch (error) {
      this.#host.backgroundError(error);
      return false;
    }
  }
}
