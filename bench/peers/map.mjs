/**
 * A yardstick without a database: a Map from key to object, and the keys in order beside it for ranges. It keeps nothing and syncs
 * nothing; no database can be quicker at gets, and none has to be as forgetful.
 */
export function open() {
  const records = new Map();
  let sorted;

  /** Sorted when first asked for after a change of the keys. */
  const inOrder = () => {
    if (sorted?.length !== records.size) sorted = [...records.keys()].sort();
    return sorted;
  };

  function firstFrom(start) {
    const keys = inOrder();
    let low = 0;
    for (let high = keys.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (keys[middle] < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function sumBetween(from, to) {
    let sum = 0;
    const keys = inOrder();
    for (let i = from; i < to; i++) sum += records.get(keys[i]).id;
    return { count: to - from, sum };
  }

  return {
    writeBatch: (keys, values, order, from, to) => {
      for (let i = from; i < to; i++) records.set(keys[order[i]], values(order[i]));
    },
    settle: () => {},
    get: (key) => records.get(key),
    gets: (keys, picks, from, to) => {
      let sum = 0;
      for (let i = from; i < to; i++) sum += records.get(keys[picks[i]]).id;
      return sum;
    },
    scan: () => sumBetween(0, records.size),
    scanKeys: () => {
      let count = 0;
      for (const key of inOrder()) if (key !== '') count++;
      return count;
    },
    ranges: (starts, length) => {
      const answer = { count: 0, sum: 0 };
      for (const start of starts) {
        const from = firstFrom(start);
        const { count, sum } = sumBetween(from, Math.min(from + length, records.size));
        answer.count += count;
        answer.sum += sum;
      }
      return answer;
    },
    close: () => {},
  };
}
