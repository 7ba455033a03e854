/**
 * Crash states of the engine, on all cores: `node engine-crash.ts [points] [states]` leads lives until it has looked at that
 * many of both. SOP_SEED chooses the first life; a failure names the one to replay.
 */
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { chooseSeed, noteFigures } from '../helpers/scale.ts';
import { crashRound } from '../sim/engine-system.ts';

interface Answer {
  readonly points: number;
  readonly states: number;
  readonly failure?: string;
}

if (process.send !== undefined) {
  process.on('message', ({ seed, round }: { seed: number; round: number }) => {
    crashRound(seed, round).then(
      ({ points, states, secondStates }) => process.send?.({ points, states: states + secondStates }),
      (error: Error) => process.send?.({ points: 0, states: 0, failure: error.message }),
    );
  });
} else {
  const [, , points = '5000', states = '100000'] = process.argv;
  await lead(chooseSeed() % 1_000_000, Number(points), Number(states));
}

async function lead(seed: number, wantedPoints: number, wantedStates: number): Promise<void> {
  console.log(`crash states of the engine (SOP_SEED=${seed})`);
  const began = performance.now();
  const sum = { points: 0, states: 0, lives: 0, failures: 0 };
  let next = 0;
  const isDone = (): boolean => sum.failures > 0 || (sum.points >= wantedPoints && sum.states >= wantedStates);
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(import.meta.filename);
      const give = (): void => {
        if (isDone()) child.disconnect();
        else child.send({ seed, round: next++ });
      };
      child.on('message', (answer: Answer) => {
        sum.lives++;
        sum.points += answer.points;
        sum.states += answer.states;
        if (answer.failure !== undefined) {
          sum.failures++;
          console.error(answer.failure);
        }
        if (sum.lives % 10 === 0) console.log(`${sum.lives} lives, ${sum.points} points, ${sum.states} states`);
        give();
      });
      child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))));
      give();
    });
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  const seconds = Math.round((performance.now() - began) / 1000);
  noteFigures('engine-crash', { seed, ...sum, seconds, statesPerSecond: Math.round(sum.states / seconds) });
  process.exitCode = sum.failures > 0 ? 1 : 0;
}
