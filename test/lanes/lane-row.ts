/** What a lane is to the programs that run it: `run.ts` (the figure of every CI run) and `audit.ts` (the large one). */

/** How much was done, by unit. A lane is through when it has done enough of each of its units. */
export type Figures = Readonly<Record<string, number>>;

export interface LaneRow {
  readonly name: string;
  readonly about: string;
  /** What every `.ci/run` does. */
  readonly every: Figures;
  /** What `npm run audit` does on demand. */
  readonly demand: Figures;
  /**
   * One round, a function of its seed as far as real processes and disks allow: some tenths of a second up to a minute. Throws
   * with the whole story where a promise is broken. What it counts beside the lane's units is added up and shown.
   */
  run(seed: number): Promise<Figures>;
  /** A round that takes longer hangs. Default 300. */
  readonly roundSeconds?: number;
  /** So many rounds at a time at most: for lanes whose rounds use all cores themselves. Default: one for each core. */
  readonly jobs?: number;
  /** Why it can not run here; undefined where it can. */
  readonly why?: () => string | undefined;
}
