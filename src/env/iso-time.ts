/** A wall-clock time for people: ISO 8601 in UTC. The one place outside the clocks themselves that knows `Date`. */
export function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
