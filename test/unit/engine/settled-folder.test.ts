/** Folders on the way to a database that somebody else made and did not live to sync. */
import { expect, it } from 'vitest';
import { SimulatedWorld } from '../../../src/env/simulated-env.ts';
import { getText, openSmall, put, write } from './small-engine.ts';

it('a commit survives a power cut though the folders above were never synced by their maker', async () => {
  const world = new SimulatedWorld(1);
  const maker = world.startProcess();
  world.onOperation = (_, { kind, path }) => {
    if (kind === 'createFolder' && path === '/a') maker.kill();
  };
  expect(() => maker.files.createFolder('/a')).toThrow('killed');
  world.onOperation = undefined;
  const folder = '/a/b/db';
  await world.run(async () => {
    const engine = await openSmall(world.startProcess(), { folder });
    await write(engine, (tx) => put(tx, 'key', 'value'));
  });
  world.crash({ data: 'lost', folders: 'lost', seed: 1 });
  await world.run(async () => {
    const engine = await openSmall(world.startProcess(), { folder });
    expect(getText(engine.begin('read'), 'key')).toBe('value');
    await engine.close();
  });
});
