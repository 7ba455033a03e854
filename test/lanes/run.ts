/**
 * The figure of every CI run of a lane, on all cores: `node run.ts <lane> [unit=figure ...] [--seed n] [--rounds n] [--jobs n]`. Stops at its first
 * failure, whose seed it names; `--seed n --rounds 1` runs that round again. SOP_SEED chooses the first one as well.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { chooseSeed, noteFigures } from '../helpers/scale.ts';
import { Crew } from './crew.ts';
import type { Figures } from './lane-row.ts';
import { addFigures, isEnough, showFigures } from './figures.ts';
import { laneOf } from './registry.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, rounds: { type: 'string' }, jobs: { type: 'string' } },
});
const [name = '', ...wanted] = positionals;
const lane = laneOf(name);
const why = lane.why?.();
if (why === undefined) await lead();
else console.log(`lane ${name} is skipped: ${why}`);

async function lead(): Promise<void> {
  const first = values.seed === undefined ? chooseSeed() % 1_000_000 : Number(values.seed);
  const most = Number(values.rounds ?? Number.POSITIVE_INFINITY);
  const target: Figures =
    wanted.length === 0
      ? lane.every
      : Object.fromEntries(wanted.map((one) => [one.split('=')[0], Number(one.split('=')[1])]));
  console.log(`lane ${name}: ${lane.about} (SOP_SEED=${first})`);
  const sum: Record<string, number> = {};
  let failures = 0;
  let next = 0;
  const began = performance.now();
  let told = began;
  const crew = new Crew(
    () => {
      if (failures > 0 || next >= most || (most === Number.POSITIVE_INFINITY && isEnough(sum, target)))
        return undefined;
      return { lane: name, seed: first + next++, roundSeconds: lane.roundSeconds ?? 300 };
    },
    ({ seed }, { figures, failure }) => {
      addFigures(sum, figures);
      if (failure !== undefined) {
        failures++;
        console.error(
          `seed ${seed} fails; again with: node test/lanes/run.ts ${name} --seed ${seed} --rounds 1\n${failure}`,
        );
      }
      if (performance.now() - told < 10_000) return;
      told = performance.now();
      console.log(`  ${showFigures(sum)} after ${Math.round((told - began) / 1000)} s`);
    },
  );
  await crew.work(Math.min(lane.jobs ?? Number(values.jobs ?? availableParallelism()), most));
  const seconds = Math.round((performance.now() - began) / 1000);
  noteFigures(`lane-${name}`, { seed: first, rounds: next, failures, seconds, ...sum });
  process.exitCode = failures > 0 ? 1 : 0;
}
