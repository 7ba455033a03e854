/**
 * When which transaction numbers became durable, coarsely: how long a snapshot has been out of date. Marks are kept so that an
 * age is right to an eighth, whatever its size; about 150 of them cover a month.
 */
const LEAST_GAP_MS = 20;
const MOST_MARKS = 256;
/** Marks may be apart by this part of their age. */
const PART = 1 / 8;

export class SnapshotAges {
  #numbers: number[] = [];
  #times: number[] = [];
  #lastMs = Number.NEGATIVE_INFINITY;

  /** Everything up to `number` is durable at `nowMs`. */
  note(number: number, nowMs: number): void {
    if (nowMs - this.#lastMs < LEAST_GAP_MS) return;
    this.#lastMs = nowMs;
    this.#numbers.push(number);
    this.#times.push(nowMs);
    if (this.#numbers.length > MOST_MARKS) this.#thinOut(nowMs);
  }

  /** Milliseconds since a transaction after `snapshot` became durable, about; 0 where there is none. */
  ageMs(snapshot: number, nowMs: number): number {
    const numbers = this.#numbers;
    let low = 0;
    let high = numbers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((numbers[middle] as number) > snapshot) high = middle;
      else low = middle + 1;
    }
    return low === numbers.length ? 0 : Math.max(0, nowMs - (this.#times[low] as number));
  }

  #thinOut(nowMs: number): void {
    const numbers: number[] = [];
    const times: number[] = [];
    for (let i = 0; i < this.#times.length; i++) {
      const next = this.#times[i + 1];
      const last = times[times.length - 1];
      const isNeeded =
        next === undefined || last === undefined || next - last > (nowMs - (this.#times[i] as number)) * PART;
      if (!isNeeded) continue;
      numbers.push(this.#numbers[i] as number);
      times.push(this.#times[i] as number);
    }
    this.#numbers = numbers;
    this.#times = times;
  }
}
