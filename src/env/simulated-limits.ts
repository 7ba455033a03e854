/** The grain of the simulated disk. */

/** What a power cut leaves whole: each sector is either old or new, never a mix. */
export const SECTOR_BYTES = 512;
/** Page of the simulated cache, and what direct I/O wants as alignment. */
export const PAGE_BYTES = 4096;
