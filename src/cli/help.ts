/** Help texts, made from the verbs themselves. */
import type { Command, OptionConfig } from './command.ts';
import type { Output } from './output.ts';

const WIDTH = 78;

/** Verbs as people look for them; what is in no group stands at the end. */
const GROUPS: readonly (readonly [title: string, verbs: readonly string[]])[] = [
  ['Reading', ['info', 'stores', 'get', 'scan', 'count']],
  ['Changing', ['put', 'rm', 'drop', 'rename']],
  ['In and out', ['import', 'export', 'backup', 'restore']],
  ['Upkeep', ['verify', 'compact', 'pin', 'pins', 'unpin', 'salvage']],
  ['Looking inside', ['stats', 'metrics', 'dump', 'top', 'bench']],
  ['Working', ['shell', 'completions']],
];

function grouped(commands: readonly Command[]): [string, Command[]][] {
  const known = new Set(GROUPS.flatMap(([, verbs]) => verbs));
  const groups = GROUPS.map(([title, verbs]): [string, Command[]] => [
    title,
    verbs.flatMap((verb) => commands.find(({ name }) => name === verb) ?? []),
  ]);
  return [...groups, ['Others', commands.filter(({ name }) => !known.has(name))] as [string, Command[]]].filter(
    ([, some]) => some.length > 0,
  );
}

export function generalHelp(commands: readonly Command[], out: Output): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'sop: look into and change SOP databases',
    '',
    `${out.bold('Usage')}  sop <verb> <folder> [...]     sop <verb> --help`,
    '',
    ...grouped(commands).flatMap(([title, some]) => [
      out.bold(title),
      ...some.flatMap(({ name, summary }) => hanging(out.bold(name.padEnd(width)), width, summary)),
      '',
    ]),
    ...wrap(
      'Keys and values are typed JSON (what JSON has no word for is written like {"$date": "2026-01-31T00:00:00.000Z"}); an ' +
        'argument that is no JSON is a string. --json makes every answer JSON, for programs. Verbs that read open the database ' +
        'without writing a byte, also beside a program that has it open.',
    ),
    '',
    `${out.bold('Exit codes')}  0 done, 1 the answer is no, 2 not understood, 3 database or store`,
    '            cannot be opened, 4 damage found, 5 another failure, 130 interrupted',
  ].join('\n');
}

export function commandHelp(command: Command, globals: Readonly<Record<string, OptionConfig>>, out: Output): string {
  const options = Object.entries({ ...command.options, ...globals });
  const forms = options.map(([name, option]) => {
    const short = option.short === undefined ? '    ' : `-${option.short}, `;
    return `${short}--${name}${option.value === undefined ? '' : ` <${option.value}>`}`;
  });
  const width = Math.max(...forms.map((form) => form.length));
  return [
    `sop ${command.name}: ${command.summary}`,
    '',
    `${out.bold('Usage')}  sop ${command.name} ${command.usage} [options]`,
    ...(command.details === undefined ? [] : ['', ...wrap(command.details)]),
    '',
    out.bold('Examples'),
    ...command.examples.flatMap(([line, what]) => [`  ${line}`, `      ${out.dim(what)}`]),
    '',
    out.bold('Options'),
    ...options.flatMap(([, { help }], i) => hanging((forms[i] as string).padEnd(width), width, help)),
  ].join('\n');
}

function wrap(text: string): string[] {
  return text.split('\n').flatMap((paragraph) => wrapParagraph(paragraph));
}

/** What is explained on the left, what it is on the right, in as many lines as that takes. */
function hanging(left: string, width: number, text: string): string[] {
  const [first = '', ...more] = wrapParagraph(text, Math.max(30, WIDTH - width - 4));
  return [`  ${left}  ${first}`, ...more.map((line) => `${' '.repeat(width + 4)}${line}`)];
}

function wrapParagraph(text: string, width = WIDTH): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length + 1 > width) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return [...lines, line];
}
