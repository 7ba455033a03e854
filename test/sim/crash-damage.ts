/** The ways a run ends that the harness tries: the process is killed, or the power goes and the disk keeps what it likes. */

import { crashDisk, type DataFate, type FolderFate } from '../../src/env/simulated-crash.ts';
import type { SimulatedDisk } from '../../src/env/simulated-disk.ts';
import type { SeededRandom } from '../../src/env/simulated-random.ts';

export type Damage =
  | { readonly kind: 'kill' }
  | { readonly kind: 'power'; readonly data: DataFate; readonly folders: FolderFate; readonly seed: number };

const PLAIN: readonly Damage[] = [
  { kind: 'kill' },
  { kind: 'power', data: 'kept', folders: 'kept', seed: 0 },
  { kind: 'power', data: 'lost', folders: 'lost', seed: 0 },
  { kind: 'power', data: 'lost', folders: 'kept', seed: 0 },
  { kind: 'power', data: 'kept', folders: 'lost', seed: 0 },
  { kind: 'power', data: 'extended', folders: 'kept', seed: 0 },
];

const DATA: readonly DataFate[] = ['torn', 'subset', 'prefix', 'torn', 'kept', 'extended'];
const FOLDERS: readonly FolderFate[] = ['kept', 'journal', 'prefix', 'subset'];

/** The plain damages and `random` drawn ones. */
export function drawDamages(disk: SimulatedDisk, random: SeededRandom, randomCount: number): Damage[] {
  if (!disk.hasUnsynced()) return [PLAIN[0] as Damage];
  const damages = PLAIN.slice();
  for (let i = 0; i < randomCount; i++) {
    damages.push({ kind: 'power', data: random.pick(DATA), folders: random.pick(FOLDERS), seed: random.next() });
  }
  return damages;
}

/** The disk after the damage; `signature` is the same where the outcome is. The disk handed in stays as it is. */
export function applyDamage(disk: SimulatedDisk, damage: Damage): { disk: SimulatedDisk; signature: number } {
  if (damage.kind === 'kill') return { disk: disk.fork(), signature: -1 };
  return crashDisk(disk, damage);
}

export function describeDamage(damage: Damage): string {
  if (damage.kind === 'kill') return 'the process is killed';
  return `power cut: unsynced data ${damage.data}, folder changes ${damage.folders}, seed ${damage.seed}`;
}
