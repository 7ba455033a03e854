/** `sop completions`: what makes Tab work in bash, zsh and fish. The shells ask `sop completions at` what may follow. */
import { type Command, EXIT_DONE, type Invocation, UsageError } from './command.ts';
import { completeWord, takesFolder } from './complete.ts';
import { reading } from './open.ts';

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# sop: completions for bash
_sop() {
  mapfile -t COMPREPLY < <(sop completions at -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _sop sop`,
  zsh: `#compdef sop
# sop: completions for zsh
_sop() {
  local -a found
  found=("\${(@f)$(sop completions at -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _sop sop`,
  fish: `# sop: completions for fish
function __sop_complete
  set -l words (commandline -opc)
  sop completions at -- $words[2..] (commandline -ct) 2>/dev/null
end
complete -c sop -a '(__sop_complete)'`,
};

export const completionsCommand: Command = {
  name: 'completions',
  summary: 'completions for bash, zsh or fish',
  usage: '<shell>',
  details: 'Prints a few lines for the shell to read; then Tab knows verbs, options and the names of stores.',
  options: {},
  examples: [
    ['source <(sop completions bash)', 'in ~/.bashrc'],
    ['source <(sop completions zsh)', 'in ~/.zshrc, behind compinit'],
    ['sop completions fish > ~/.config/fish/completions/sop.fish', 'once'],
  ],
  async run(call) {
    const [shell, ...words] = call.positionals;
    if (shell === 'at') {
      for (const word of await complete(call, words)) await call.out.line(word);
      return EXIT_DONE;
    }
    const script = shell !== undefined && Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
    if (script === undefined || words.length > 0)
      throw new UsageError(`name a shell: ${Object.keys(SCRIPTS).join(', ')}`);
    await call.out.line(script);
    return EXIT_DONE;
  },
};

/** `words` as typed, the last of them still under way. */
async function complete(call: Invocation, words: readonly string[]): Promise<string[]> {
  const { commands, globals } = call.host;
  const [verb = '', folder, ...rest] = words;
  if (words.length < 2) return commands.map(({ name }) => name).filter((name) => name.startsWith(verb));
  const command = commands.find(({ name }) => name === verb);
  const typed = words.at(-1) as string;
  if (command === undefined || !takesFolder(command)) {
    return completeWord({ commands, globals, stores: async () => [] }, verb, words.slice(1, -1), typed);
  }
  // The folder is a path: the shell knows those.
  if (words.length === 2)
    return typed.startsWith('-') ? completeWord({ commands, globals, stores: async () => [] }, verb, [], typed) : [];
  const stores = () =>
    reading(folder as string, async (db) => (await db.stores()).map(({ name }) => name)).catch(() => []);
  return completeWord({ commands, globals, stores }, verb, rest.slice(0, -1), typed);
}
