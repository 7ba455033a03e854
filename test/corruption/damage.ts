/**
 * Everything that may happen to stored bytes behind the engine's back, drawn from a seed: bits, bytes and sectors changed,
 * zeroed, swapped, misdirected, stale; files cut, lengthened, missing, put in each other's place. What is damaged keeps its old
 * checksums (see forge.ts for those who make them anew).
 */
import type { SeededRandom } from '../../src/env/simulated-random.ts';
import type { FolderBytes } from './bytes-env.ts';
import type { Subject } from './subjects.ts';

/** One damage: what it does to a folder, and in words. */
export interface Damage {
  readonly text: string;
  /** A file is gone, or all of it is another's: nobody can tell from the inside what was there. */
  readonly wholeFile: boolean;
  apply(folder: Map<string, Uint8Array>): void;
}

type Kind = (random: SeededRandom, subject: Subject, path: string) => Damage;

/** Writes over a copy of the file. */
function edit(path: string, text: string, change: (bytes: Uint8Array) => Uint8Array | undefined): Damage {
  return {
    text: `${path}: ${text}`,
    wholeFile: false,
    apply(folder) {
      const before = folder.get(path);
      if (before === undefined) return;
      const bytes = before.slice();
      folder.set(path, change(bytes) ?? bytes);
    },
  };
}

/** A place in the file: where structures begin more often than anywhere, and seldom among zeros. */
function place(random: SeededRandom, bytes: Uint8Array): number {
  const near = random.below(3);
  let at = random.below(bytes.length);
  if (near === 0)
    at = Math.min(bytes.length - 1, random.below(Math.ceil(bytes.length / 4096)) * 4096 + random.below(120));
  for (let tries = 0; tries < 6 && bytes[at] === 0 && random.below(8) > 0; tries++) at = random.below(bytes.length);
  return at;
}

function sectorAt(random: SeededRandom, bytes: Uint8Array): { start: number; end: number } {
  const size = random.pick([512, 512, 4096]);
  const start = random.below(Math.ceil(bytes.length / size)) * size;
  return { start, end: Math.min(bytes.length, start + size) };
}

const flipBit: Kind = (random, subject, path) => {
  const at = place(random, subject.folder.get(path) as Uint8Array);
  const bit = random.below(8);
  return edit(path, `bit ${bit} of byte ${at} flipped`, (bytes) => {
    bytes[at] = (bytes[at] as number) ^ (1 << bit);
  });
};

const changeBytes: Kind = (random, subject, path) => {
  const at = place(random, subject.folder.get(path) as Uint8Array);
  const length = random.pick([1, 2, 4, 8]);
  const value = random.pick([0, 0xff, 0x7f, 0x80, random.below(256)]);
  return edit(path, `${length} bytes from ${at} are ${value}`, (bytes) => {
    bytes.fill(value, at, at + length);
  });
};

const addToWord: Kind = (random, subject, path) => {
  const bytes = subject.folder.get(path) as Uint8Array;
  const at = place(random, bytes) & ~3;
  const by = random.pick([1, -1, 8, -8, 4096, -4096]);
  return edit(path, `${by} added to the word at ${at}`, (changed) => {
    if (at + 4 > changed.length) return;
    const view = new DataView(changed.buffer, changed.byteOffset);
    view.setUint32(at, view.getUint32(at, true) + by, true);
  });
};

const fillSector: Kind = (random, subject, path) => {
  const { start, end } = sectorAt(random, subject.folder.get(path) as Uint8Array);
  const how = random.pick(['zeros', 'ones', 'noise']);
  const noise = random.fork();
  return edit(path, `${how} over ${start} to ${end}`, (bytes) => {
    if (how === 'noise') noise.fill(bytes.subarray(start, end));
    else bytes.fill(how === 'zeros' ? 0 : 0xff, start, end);
  });
};

const swapSectors: Kind = (random, subject, path) => {
  const bytes = subject.folder.get(path) as Uint8Array;
  const one = sectorAt(random, bytes);
  const size = one.end - one.start;
  const other = random.below(Math.max(1, Math.floor(bytes.length / size))) * size;
  return edit(path, `${size} bytes at ${one.start} and ${other} swapped`, (changed) => {
    if (Math.max(one.start, other) + size > changed.length) return;
    const kept = changed.slice(one.start, one.end);
    changed.copyWithin(one.start, other, other + size);
    changed.set(kept, other);
  });
};

/** A write that went to another place, of this file or another. */
const misdirect: Kind = (random, subject, path) => {
  const bytes = subject.folder.get(path) as Uint8Array;
  const from = random.pick([...subject.folder.keys()]);
  const source = subject.folder.get(from) as Uint8Array;
  const { start, end } = sectorAt(random, bytes);
  const at = random.below(Math.max(1, Math.ceil(source.length / 512))) * 512;
  return edit(path, `${end - start} bytes at ${start} are those of ${from} at ${at}`, (changed) => {
    if (end > changed.length) return;
    changed.set(source.subarray(at, Math.min(source.length, at + end - start)), start);
  });
};

/** A write that was never made: the place holds what an older version of the file held there. */
const stale: Kind = (random, subject, path) => {
  const version = random.below(Math.max(1, subject.older.length));
  const older = subject.older[version]?.get(path) ?? new Uint8Array(0);
  const { start, end } = sectorAt(random, subject.folder.get(path) as Uint8Array);
  const isAll = random.below(20) === 0;
  return edit(
    path,
    isAll ? `as it was in version ${version}` : `${start} to ${end} as in version ${version}`,
    (bytes) => {
      if (isAll) return older.slice();
      const kept = older.subarray(start, Math.max(start, Math.min(end, older.length, bytes.length)));
      bytes.fill(0, start, end);
      if (start < bytes.length) bytes.set(kept, start);
      return undefined;
    },
  );
};

const cut: Kind = (random, subject, path) => {
  const { length } = subject.folder.get(path) as Uint8Array;
  const size = random.chance(0.5) ? random.below(length) : random.below(Math.ceil(length / 4096)) * 4096;
  return edit(path, `cut to ${size} of ${length} bytes`, (bytes) => bytes.slice(0, size));
};

const lengthen: Kind = (random, subject, path) => {
  const source = subject.folder.get(path) as Uint8Array;
  const length = random.pick([1, 511, 512, 4096, 12288]);
  const how = random.pick(['zeros', 'noise', 'its own end', 'its own batches']);
  const noise = random.fork();
  return edit(path, `${length} bytes of ${how} behind its end`, (bytes) => {
    const longer = new Uint8Array(bytes.length + length);
    longer.set(bytes);
    if (how === 'noise') noise.fill(longer.subarray(bytes.length));
    const from = how === 'its own end' ? Math.max(0, source.length - length) : 8192;
    if (how.startsWith('its own')) longer.set(source.subarray(from, from + length), bytes.length);
    return longer;
  });
};

const missing: Kind = (_random, _subject, path) => ({
  text: `${path}: missing`,
  wholeFile: true,
  apply: (folder) => {
    folder.delete(path);
  },
});

const replaced: Kind = (random, subject, path) => {
  const by = random.pick([...subject.folder.keys()].filter((other) => other !== path));
  return {
    text: `${path}: holds what ${by} holds`,
    wholeFile: true,
    apply: (folder) => {
      folder.set(path, subject.folder.get(by) as Uint8Array);
    },
  };
};

/** A file nobody knows, under a name that means something. */
const stranger: Kind = (random, subject) => {
  const from = random.pick([...subject.folder.keys()]);
  const name = random.pick([
    'log/000000000009.log',
    'log/ffffffffffff.log',
    'log/000000000000.log',
    'log/nonsense',
    'data/000000000001-0.seg',
    'data/84bf1364e94c-9.seg',
    'members/000000000001',
    'sop.json.new',
  ]);
  return {
    text: `${name}: a copy of ${from} appeared`,
    wholeFile: false,
    apply: (folder) => {
      folder.set(name, subject.folder.get(from) as Uint8Array);
    },
  };
};

const KINDS: readonly (readonly [weight: number, kind: Kind])[] = [
  [30, flipBit],
  [14, changeBytes],
  [8, addToWord],
  [12, fillSector],
  [6, swapSectors],
  [8, misdirect],
  [8, stale],
  [6, cut],
  [4, lengthen],
  [1, missing],
  [1, replaced],
  [1, stranger],
];
/** Each as often as its weight. */
const DRAWN: readonly Kind[] = KINDS.flatMap(([weight, kind]) => new Array<Kind>(weight).fill(kind));

/** Small files are as important as large ones. */
function drawPath(random: SeededRandom, folder: FolderBytes): string {
  const paths = [...folder.keys()].filter((path) => path !== 'lock');
  if (random.below(3) === 0) return random.pick(paths);
  return random.pick(paths.filter((path) => path.startsWith('log/') || path.startsWith('data/')));
}

export function drawDamage(random: SeededRandom, subject: Subject): Damage {
  const path = drawPath(random, subject.folder);
  return random.pick(DRAWN)(random, subject, path);
}

export function damaged(folder: FolderBytes, damages: readonly Damage[]): FolderBytes {
  const changed = new Map(folder);
  for (const damage of damages) damage.apply(changed);
  return changed;
}
