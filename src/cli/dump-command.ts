/** `sop dump`: what lies in the files, drawn for people. */
import { type Command, EXIT_DONE, listOption, numberOption, UsageError } from './command.ts';
import { Drawing } from './dump-draw.ts';
import { dumpFile } from './dump-file.ts';
import { DumpFolder } from './dump-folder.ts';
import { dumpBatch, dumpLog, dumpTable } from './dump-log.ts';
import { dumpNode, dumpRoot, dumpSegments, dumpTree } from './dump-tree.ts';

const DEFAULT_LIMIT = 40;

interface DumpCall {
  readonly folder: DumpFolder;
  readonly drawing: Drawing;
  readonly args: readonly string[];
  readonly keys: readonly string[];
  readonly limit: number;
}

/** What can be drawn, and the arguments it takes: how many it needs, how many it may have. */
const SUBJECTS: Readonly<
  Record<string, { takes: [least: number, most: number]; draw(call: DumpCall): Promise<void> }>
> = {
  root: { takes: [0, 0], draw: ({ folder, drawing }) => dumpRoot(folder, drawing) },
  log: { takes: [0, 1], draw: ({ folder, drawing, args, limit }) => dumpLog(folder, drawing, args[0], limit) },
  batch: {
    takes: [1, 1],
    draw: ({ folder, drawing, args, limit }) => dumpBatch(folder, drawing, toNumber(args[0]), limit),
  },
  node: {
    takes: [1, 1],
    draw: ({ folder, drawing, args, keys, limit }) => dumpNode(folder, drawing, args[0] as string, keys, limit),
  },
  tree: {
    takes: [1, 1],
    draw: ({ folder, drawing, args, limit }) => dumpTree(folder, drawing, args[0] as string, limit),
  },
  table: { takes: [0, 1], draw: ({ folder, drawing, args, limit }) => dumpTable(folder, drawing, args[0], limit) },
  segments: { takes: [0, 0], draw: ({ folder, drawing }) => dumpSegments(folder, drawing) },
  file: {
    takes: [1, 1],
    draw: ({ folder, drawing, args, limit }) => dumpFile(folder, drawing, args[0] as string, limit),
  },
};

export const DUMP_SUBJECTS = Object.keys(SUBJECTS);

export const dumpCommand: Command = {
  name: 'dump',
  summary: 'draw what is in the files: root, log, batch, node, tree, table',
  usage: '<folder> <what> [...]',
  details:
    'What: root (the newest root and its stores); log [epoch[:number]]; batch <number> (the transactions that were written ' +
    'together); node <store or segment:offset>, with --key the way down to a key; tree <store>; table [store] (the changes ' +
    'that no tree holds yet); segments; file <path> (by what its bytes say).\n' +
    'Nothing is written and nobody is waited for; it works beside a live writer and on damaged files, as far as they are ' +
    'sound: what fails its checksum is marked BAD. With --json one object a line.',
  options: {
    key: {
      type: 'string',
      multiple: true,
      value: 'key',
      help: 'node: go down to this key (field=value, several times)',
    },
    limit: { type: 'string', short: 'n', value: 'count', help: `draw at most so many lines (${DEFAULT_LIMIT})` },
  },
  examples: [
    ['sop dump ./data root', 'the newest root and the trees it names'],
    ['sop dump ./data log', 'the epochs; log 1 for the batches of one'],
    ['sop dump ./data batch 1234', 'the batch that holds transaction 1234'],
    ['sop dump ./data node cities --key country=DE --key name=Bonn', 'from the root image down to the leaf'],
    ['sop dump ./data table users', 'changes of a store that are in memory and log alone'],
    ['sop dump ./data file 000000000001.log', 'one file, with every checksum'],
  ],
  async run(call) {
    const [path, what, ...args] = call.positionals;
    if (path === undefined) throw new UsageError('<folder> is missing');
    const subject = what === undefined || !Object.hasOwn(SUBJECTS, what) ? undefined : SUBJECTS[what];
    if (subject === undefined) throw new UsageError(`say what to draw: ${DUMP_SUBJECTS.join(', ')}`);
    const [least, most] = subject.takes;
    if (args.length < least) throw new UsageError(`${what} needs to know which`);
    if (args.length > most) throw new UsageError(`'${args[most]}' is one argument too many`);
    const folder = new DumpFolder(path);
    const drawing = new Drawing(call.out, call.out.columns);
    const limit = numberOption(call.options, 'limit') ?? DEFAULT_LIMIT;
    try {
      await folder.open();
      await subject.draw({ folder, drawing, args, keys: listOption(call.options, 'key'), limit });
      for (const remark of folder.remarks) call.out.note(remark);
    } finally {
      await folder.close();
    }
    return EXIT_DONE;
  },
};

function toNumber(text: string | undefined): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) throw new UsageError(`'${text}' is no number of a transaction`);
  return number;
}
