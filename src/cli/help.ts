/** Help texts, made from the verbs themselves. */
import type { Command, OptionConfig } from './command.ts';
import type { Output } from './output.ts';

const WIDTH = 78;

export function generalHelp(commands: readonly Command[], out: Output): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'sop: look into and change SOP databases',
    '',
    `${out.bold('Usage')}  sop <verb> <folder> [...]     sop <verb> --help`,
    '',
    ...commands.map(({ name, summary }) => `  ${out.bold(name.padEnd(width))}  ${summary}`),
    '',
    ...wrap(
      'Keys and values are typed JSON (what JSON has no word for is written like {"$date": "2026-01-31T00:00:00.000Z"}); an ' +
        'argument that is no JSON is a string. --json makes every answer JSON, for programs. Verbs that read open the database ' +
        'without writing a byte, also beside a program that has it open.',
    ),
    '',
    `${out.bold('Exit codes')}  0 done, 1 the answer is no, 2 not understood, 3 database or store cannot be opened,`,
    '            4 damage found, 5 another failure, 130 interrupted',
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
    ...options.map(([, { help }], i) => `  ${(forms[i] as string).padEnd(width)}  ${help}`),
  ].join('\n');
}

function wrap(text: string): string[] {
  return text.split('\n').flatMap(wrapParagraph);
}

function wrapParagraph(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return [...lines, line];
}
