/** The checker of histories is checked itself: hand-made histories with each anomaly, and sound ones of the same shape. */
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../src/env/simulated-random.ts';
import { checkHistory } from './cycle-search.ts';
import { HistoryListener } from './observed-history.ts';

function historyOf(text: string) {
  const listener = new HistoryListener();
  for (const line of text.trim().split('\n')) {
    const word = line.trim();
    if (word === 'killed') listener.processEnded();
    else if (word === 'opened') listener.processOpened();
    else listener.hear(word);
  }
  return listener.transactions;
}

const namesIn = (text: string): string[] => [
  ...new Set(checkHistory(historyOf(text)).anomalies.map(({ name }) => name)),
];

/** Transactions that all overlap, each by a client of its own. */
function together(...works: string[]): string {
  const begins = works.map((_, i) => `i ${i} w`);
  return [...begins, ...works.map((work, i) => `c ${i} ${work}`), ...works.map((_, i) => `o ${i} 0`)].join('\n');
}

function inTurn(...works: string[]): string {
  return works.map((work, i) => `i ${i} w\nc ${i} ${work}\no ${i} 0`).join('\n');
}

describe('a history', () => {
  it('without fault has no anomaly', () => {
    expect(namesIn(inTurn('r x ;a x 1', 'r x 1;a x 2', 'r x 1,2;n y 0;w y 1 3', 'v y 1 3;r x 1,2'))).toEqual([]);
    expect(namesIn(together('r x ;a x 1', 'r x 1;a x 2', 'r x 1,2'))).toEqual([]);
  });

  it('where two writers overtake each other on two keys is G0', () => {
    expect(namesIn(together('a x 1;a y 3', 'a x 2;a y 4', 'r x 1,2', 'r y 4,3'))).toEqual(['G0']);
  });

  it('where each reads what the other one wrote is G1c', () => {
    expect(namesIn(together('a x 1;r y 2', 'a y 2;r x 1'))).toEqual(['G1c']);
  });

  it('where a reader sees half of a transaction is G-single', () => {
    expect(namesIn(together('a x 1;a y 2', 'r x 1;r y ', 'r y 2'))).toEqual(['G-single']);
  });

  it('where an update is lost is G-single', () => {
    expect(namesIn(together('r x ;a x 1', 'r x ;a x 2', 'r x 1,2'))).toEqual(['G-single']);
  });

  it('where two write what the other one has read is G2: write skew', () => {
    expect(namesIn(together('r x ;a y 1', 'r y ;a x 2', 'r x 2;r y 1'))).toEqual(['G2']);
  });

  it('where two count a range and both add to it is G2 or says that a version has two writers: a phantom', () => {
    expect(namesIn(together('n g 0;w g 1 1', 'n g 0;w g 1 2'))).toContain('incompatible order');
    expect(namesIn(together('n g 0;w h 1 1', 'n h 0;w g 1 2'))).toEqual(['G2']);
  });

  it('where somebody looks into the past is G-single-realtime', () => {
    expect(namesIn(inTurn('a x 1', 'r x ', 'r x 1'))).toEqual(['G-single-realtime']);
  });

  it('where writers are answered in one order and stand in the other is G0-realtime', () => {
    expect(namesIn(inTurn('a x 1', 'a x 2', 'r x 2,1'))).toEqual(['G0-realtime']);
  });

  it('where something comes of a refused transaction is G1a', () => {
    expect(namesIn('i 0 w\nc 0 a x 1\nf 0\ni 1 r\nc 1 r x 1\no 1 0')).toEqual(['G1a: aborted read']);
  });

  it('where the middle of a transaction is seen is G1b', () => {
    expect(namesIn(together('a x 1;a x 2', 'r x 1', 'r x 1,2'))).toContain('G1b: intermediate read');
  });

  it('where an answered write is gone says so', () => {
    expect(namesIn(inTurn('a x 1', 'a x 2', 'r x 2'))).toEqual(['lost write']);
  });

  it('where an element stands twice, or comes from nobody, says so', () => {
    expect(namesIn(inTurn('a x 1', 'r x 1,1'))).toContain('duplicate');
    expect(namesIn(inTurn('a x 1', 'r x 1,7'))).toContain('garbage read');
  });

  it('where two see different orders says so', () => {
    expect(namesIn(together('a x 1', 'a x 2', 'r x 1,2', 'r x 2,1'))).toContain('incompatible order');
  });

  it('where a transaction does not see itself says so', () => {
    expect(namesIn(inTurn('a x 1;r x '))).toContain('internal');
    expect(namesIn(inTurn('a x 1', 'r x 1;n x 0'))).toContain('internal');
  });

  it('may or may not hold what a killed process left without an answer', () => {
    const killed = 'i 0 w\nc 0 a x 1\nkilled\nopened\n';
    expect(namesIn(`${killed}i 1 r\nc 1 r x \no 1 0`)).toEqual([]);
    expect(namesIn(`${killed}i 1 r\nc 1 r x 1\no 1 0`)).toEqual([]);
  });

  it('that changes its mind about what a killed process left is at fault', () => {
    const killed = 'i 0 w\nc 0 a x 1\nkilled\nopened\n';
    expect(namesIn(`${killed}i 1 r\nc 1 r x \no 1 0\ni 2 r\nc 2 r x 1\no 2 0`)).toEqual(['G-single-realtime']);
  });

  it('whose numbers say another order than its reads is at fault', () => {
    const lines = 'i 0 w\ni 1 w\nc 0 a x 1\nc 1 r x 1;a x 2\no 0 0 8\no 1 0 7';
    expect(namesIn(lines)).toEqual(['numbers disagree']);
    expect(namesIn('i 0 w\nc 0 a x 1\no 0 0 8\ni 1 r\nc 1 r x 1\no 1 7 7')).toEqual(['numbers disagree']);
  });
});

describe('random histories', () => {
  it('made in one order have no anomaly, and have one as soon as two transactions change places', () => {
    let found = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed);
      const works = serialWorks(random, 60);
      expect(namesIn(inTurn(...works)), `seed ${seed}`).toEqual([]);
      const at = random.below(works.length - 1);
      const swapped = [...works];
      [swapped[at], swapped[at + 1]] = [works[at + 1] as string, works[at] as string];
      // Their reads are those of the other order: in time or in data something goes backwards, if they met at all.
      if (namesIn(inTurn(...swapped)).length > 0) found++;
    }
    expect(found).toBeGreaterThan(12);
  });
});

function serialWorks(random: SeededRandom, count: number): string[] {
  const lists = new Map<string, number[]>();
  let element = 0;
  return Array.from({ length: count }, () => {
    const key = `k${random.below(2)}`;
    const list = lists.get(key) ?? [];
    const words = [`r ${key} ${list.join(',')}`];
    if (random.chance(0.6)) {
      lists.set(key, [...list, ++element]);
      words.push(`a ${key} ${element}`);
    }
    return words.join(';');
  });
}
