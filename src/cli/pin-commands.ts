/** Verbs about pins, states that are kept for reading: pin, pins, unpin. */
import type { ReadOptions } from '../index.ts';
import { type Command, EXIT_DONE, type Invocation, takePositionals } from './command.ts';
import { reading, writing } from './open.ts';
import { formatCount, formatTable } from './output.ts';

/** For the verbs that can read the past. */
export const AT_OPTION = { at: { type: 'string', value: 'pin', help: 'as it was when this pin was made' } } as const;

export function readAt({ options }: Invocation): ReadOptions {
  return typeof options.at === 'string' ? { at: options.at } : {};
}

export const pinCommand: Command = {
  name: 'pin',
  summary: 'keep the state as of now under a name',
  usage: '<folder> <pin>',
  details:
    'What is pinned can be read with --at, as it was, whatever is changed, dropped or renamed after. It takes space until ' +
    'sop unpin. Refused where there is a pin of that name.',
  options: {},
  examples: [
    ['sop pin ./data before-upgrade', 'a name for the state of this moment'],
    ['sop scan ./data users --at before-upgrade', 'reads it'],
  ],
  async run(call) {
    const [folder, name] = takePositionals(call, '<folder>', '<pin>') as [string, string];
    return writing(folder, false, async (db) => {
      const pin = await db.pin(name);
      if (call.out.json) await call.out.line(JSON.stringify(pin));
      else call.out.note(`pin '${name}' holds everything up to transaction ${formatCount(pin.number)}`);
      return EXIT_DONE;
    });
  },
};

export const pinsCommand: Command = {
  name: 'pins',
  summary: 'list the pins',
  usage: '<folder>',
  options: {},
  examples: [['sop pins ./data', 'names, transactions, times']],
  async run(call) {
    const [folder] = takePositionals(call, '<folder>') as [string];
    return reading(folder, async (db) => {
      const pins = await db.pins();
      if (call.out.json) {
        for (const pin of pins) await call.out.line(JSON.stringify(pin));
        return EXIT_DONE;
      }
      if (pins.length === 0) {
        call.out.note('there are no pins');
        return EXIT_DONE;
      }
      const rows = pins.map((pin) => [pin.name, formatCount(pin.number), pin.pinnedAt.toISOString()]);
      const [head, ...lines] = formatTable(['pin', 'transaction', 'pinned at'], rows);
      for (const line of [call.out.bold(head as string), ...lines]) await call.out.line(line);
      return EXIT_DONE;
    });
  },
};

export const unpinCommand: Command = {
  name: 'unpin',
  summary: 'give up a pin',
  usage: '<folder> <pin>',
  details: 'The space that it alone kept is given back by later upkeep, at once by sop compact.',
  options: {},
  examples: [['sop unpin ./data before-upgrade && sop compact ./data', 'and its space']],
  async run(call) {
    const [folder, name] = takePositionals(call, '<folder>', '<pin>') as [string, string];
    return writing(folder, false, async (db) => {
      await db.unpin(name);
      if (call.out.json) await call.out.line(JSON.stringify({ unpinned: name }));
      else call.out.note(`pin '${name}' is given up`);
      return EXIT_DONE;
    });
  },
};
