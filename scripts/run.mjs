/**
 * The door of every npm script: `node scripts/run.mjs <task> [arguments]`.
 *
 * It works in a fresh clone with nothing installed: built-ins only, and syntax that an old Node still reads. Where this
 * Node is too old for the project it fetches one that is not and starts over under it; then it installs what is missing,
 * builds the native module, and hands over to the task.
 */
import { Stop } from './process.mjs';
import { nodeIsSupported, restartUnderSupportedNode, setUp } from './setup.mjs';

async function main() {
  const [name, ...args] = process.argv.slice(2);
  if (!nodeIsSupported()) {
    process.exitCode = await restartUnderSupportedNode(process.argv.slice(2));
    return;
  }
  const { tasks } = await import('./tasks.mjs');
  const task = tasks[name];
  if (task === undefined) throw new Stop(`no task '${name ?? ''}'; there are: ${Object.keys(tasks).join(', ')}`, 2);
  await setUp(task.needs ?? ['dependencies', 'native']);
  process.exitCode = await task.run(args);
}

main().catch((error) => {
  console.error(error instanceof Stop ? `\nsop: ${error.message}` : error);
  process.exitCode = error instanceof Stop ? error.code : 1;
});
