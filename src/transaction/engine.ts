/**
 * Opening a database folder: for writing under its lock, or for reading without a trace.
 */
import type { Env } from '../env/env.ts';
import { openLog } from '../log/log-recovery.ts';
import { DatabaseFolder, type DatabaseIdentity, randomWriter } from '../storage/database-folder.ts';
import { mustHaveLostNoIdentity, mustHaveLostNoLog } from '../storage/lost-log.ts';
import type { EngineApi, EngineOptions } from './engine-api.ts';
import { Engine, ignoringErrors, logOptions, type Opened } from './running-engine.ts';

/** Opens a database folder. Errors: `DatabaseNotFoundError`, `DatabaseLockedError`, `FormatUnsupportedError`, `CorruptionError`. */
export async function openEngine(env: Env, options: EngineOptions): Promise<EngineApi> {
  const folder = new DatabaseFolder(env, options.folder, options.isUnfinished);
  return options.readOnly === true ? openForReading(env, options, folder) : openForWriting(env, options, folder);
}

async function openForReading(env: Env, options: EngineOptions, folder: DatabaseFolder): Promise<Engine> {
  const { id } = folder.mustReadIdentity();
  const ownerAlive = folder.hasLiveOwner();
  const opening = await openLog({ env, folder: folder.path, databaseId: id, writer: 0, mode: 'read', ownerAlive });
  return start({ env, options, folder, databaseId: id, writer: 0, opening, ownerAlive });
}

async function openForWriting(env: Env, options: EngineOptions, folder: DatabaseFolder): Promise<Engine> {
  if (options.create === false) folder.mustReadIdentity();
  env.files.createFolder(folder.path);
  folder.readIdentity();
  folder.lock();
  const writer = randomWriter(env);
  try {
    const { id } = folder.readIdentity() ?? createIdentity(env, folder);
    folder.settle();
    folder.registerMember(writer);
    const opening = await openLog({
      env,
      folder: folder.path,
      databaseId: id,
      writer,
      mode: 'write',
      mustBeInPlace: () => folder.mustBeInPlace(),
      ...logOptions(options),
    });
    return await start({ env, options, folder, databaseId: id, writer, opening, ownerAlive: false });
  } catch (error) {
    await ignoringErrors(() => folder.unregisterMember(writer));
    folder.unlock();
    throw error;
  }
}

function createIdentity(env: Env, folder: DatabaseFolder): DatabaseIdentity {
  mustHaveLostNoIdentity(env, folder.path);
  return folder.createIdentity();
}

/** The engine over what was opened; where that fails everything is given back. */
async function start(opened: Opened): Promise<Engine> {
  const { env, folder, opening } = opened;
  try {
    if (opening.isVoid) mustHaveLostNoLog(env, folder.path);
    return new Engine(opened);
  } catch (error) {
    opening.close();
    await ignoringErrors(() => opening.log?.close());
    throw error;
  }
}
