/** What may follow in a command: for Tab in `sop shell` and for the completions of other shells. */
import type { Command, OptionConfig } from './command.ts';
import { DUMP_SUBJECTS } from './dump-command.ts';

export interface Completing {
  readonly commands: readonly Command[];
  readonly globals: Readonly<Record<string, OptionConfig>>;
  readonly stores: () => Promise<readonly string[]>;
}

/** Whether a verb's first positional is the folder of a database. */
export function takesFolder(command: Command): boolean {
  return command.usage.startsWith('<folder>');
}

/** Words that may stand where `typed` does, behind the verb and the words `before` (the folder left out). */
export async function completeWord(
  setting: Completing,
  verb: string,
  before: readonly string[],
  typed: string,
): Promise<string[]> {
  const command = setting.commands.find(({ name }) => name === verb);
  if (verb === 'help')
    return startingWith(
      setting.commands.map(({ name }) => name),
      typed,
    );
  if (command === undefined) return [];
  const options: Readonly<Record<string, OptionConfig>> = { ...command.options, ...setting.globals };
  if (typed.startsWith('-'))
    return startingWith(
      Object.keys(options).map((name) => `--${name}`),
      typed,
    );
  const position = positionalsIn(before, options).length;
  const places = command.usage.match(/<[^>]+>(\.\.\.)?/g) ?? [];
  const own = takesFolder(command) ? places.slice(1) : places;
  const place = own[Math.min(position, own.length - 1)];
  if (position >= own.length && place?.endsWith('...') !== true && verb !== 'dump') return [];
  if (verb === 'dump' && position === 0) return startingWith(DUMP_SUBJECTS, typed);
  const wantsStore =
    verb === 'dump'
      ? position === 1 && ['node', 'tree', 'table'].includes(before[0] ?? '')
      : place?.startsWith('<store>');
  return wantsStore === true ? startingWith(await setting.stores(), typed) : [];
}

/** The words that are neither options nor their values. */
function positionalsIn(words: readonly string[], options: Readonly<Record<string, OptionConfig>>): string[] {
  const found: string[] = [];
  let isValue = false;
  for (const word of words) {
    if (isValue) {
      isValue = false;
      continue;
    }
    if (!/^--?[a-z]/.test(word)) {
      found.push(word);
      continue;
    }
    const option = word.startsWith('--')
      ? options[word.slice(2)]
      : Object.values(options).find(({ short }) => short === word[1]);
    isValue = option?.type === 'string' && !word.includes('=');
  }
  return found;
}

function startingWith(words: readonly string[], typed: string): string[] {
  return words.filter((word) => word.startsWith(typed)).sort();
}
