/** A member of the crew: runs the rounds it is sent, one after another. */
import type { Round, WorkerAnswer } from './crew.ts';
import { laneOf } from './registry.ts';

process.on('disconnect', () => process.exit(0));
process.on('message', (round: Round) => {
  const say = (answer: WorkerAnswer): void => {
    process.send?.(answer);
  };
  laneOf(round.lane)
    .run(round.seed)
    .then(
      (figures) => say({ figures }),
      (error: unknown) => say({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
});
