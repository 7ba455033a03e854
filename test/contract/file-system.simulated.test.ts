/** The files contract on the simulated disk, under several seeds: their schedules and short writes differ. */

import { SimulatedWorld } from '../../src/env/simulated-env.ts';
import { fileSystemContract } from './file-system.contract.ts';

for (const seed of [1, 2, 3]) {
  fileSystemContract(`simulated, seed ${seed}`, async () => {
    const world = new SimulatedWorld(seed, { shortWriteChance: 0.3 });
    const env = world.startProcess();
    env.files.createFolder('/contract');
    return { env, folder: '/contract', cleanup: () => {}, run: (body) => world.run(body) };
  });
}
