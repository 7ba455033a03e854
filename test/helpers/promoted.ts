/** What collections of the young generation moved to the old one: bytes that V8 took for long-lived. */
import { GCProfiler } from 'node:v8';

export class Promoted {
  readonly #profiler = new GCProfiler();

  begin(): void {
    this.#profiler.start();
  }

  /** Bytes since `begin`. */
  end(): number {
    let bytes = 0;
    for (const { gcType, beforeGC, afterGC } of this.#profiler.stop().statistics) {
      if (gcType !== 'Scavenge') continue;
      bytes += oldBytes(afterGC.heapSpaceStatistics) - oldBytes(beforeGC.heapSpaceStatistics);
    }
    return bytes;
  }
}

function oldBytes(spaces: readonly { readonly spaceName: string; readonly spaceUsedSize: number }[]): number {
  return spaces.find((space) => space.spaceName === 'old_space')?.spaceUsedSize ?? 0;
}
