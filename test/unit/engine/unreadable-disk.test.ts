/** What a disk that cannot be read does to commits: nothing, as long as the log takes them. */
import { expect, it } from 'vitest';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import { openSmall, put, write } from './small-engine.ts';

it('the first commit of an opening is answered as what it is, though nothing can be read', async () => {
  const world = new SimulatedWorld(1);
  const process = world.startProcess();
  await world.run(async () => {
    const before = await openSmall(process);
    await write(before, (tx) => put(tx, 'a', '1'));
    await before.checkpoint();
    await before.close();
    const engine = await openSmall(process);
    world.fail({ operation: 'read', path: '/data/', error: 'EIO', times: Number.POSITIVE_INFINITY });
    const number = await write(engine, (tx) => put(tx, 'b', '2'));
    world.clearFaults();
    expect(engine.stats().number).toBe(number);
    await engine.close();
  });
});
