/**
 * A line of the shell as words. Blanks separate them, except within
 *   {...} and [...]   typed JSON, which may go over several lines
 *   "..."             a JSON string, kept with its quotes: "5" is the text 5 where 5 is the number
 *   '...'             anything, kept as it is without the quotes
 * Brackets and quotes count where a word begins, or what stands behind its `=`.
 */

export interface Words {
  readonly words: readonly string[];
  /** A bracket or quote is not closed yet, or the line ends in a backslash: more is to come. */
  readonly open: boolean;
  /** Where the last word begins in the text; its end where a blank follows it. */
  readonly lastStart: number;
}

const BLANK = /\s/;

export function splitWords(text: string): Words {
  const words: string[] = [];
  let at = 0;
  let lastStart = 0;
  for (;;) {
    while (at < text.length && BLANK.test(text[at] as string)) at++;
    lastStart = at;
    if (at >= text.length) return { words, open: false, lastStart };
    if (text.slice(at) === '\\') return { words, open: true, lastStart };
    const word = readWord(text, at);
    words.push(word.text);
    if (word.end < 0) return { words, open: true, lastStart };
    at = word.end;
    if (at >= text.length) return { words, open: false, lastStart };
  }
}

/** The word that begins at `from` and where it ends; -1 where it does not end in this text. */
function readWord(text: string, from: number): { readonly text: string; readonly end: number } {
  let word = '';
  let at = from;
  while (at < text.length && !BLANK.test(text[at] as string)) {
    const mark = text[at] as string;
    const isStart = at === from || text[at - 1] === '=';
    if (isStart && `{["'`.includes(mark)) {
      const end = mark === "'" ? closingQuote(text, at) : closingBracket(text, at);
      if (end < 0) return { text: word + text.slice(at), end: -1 };
      word += mark === "'" ? text.slice(at + 1, end - 1) : text.slice(at, end);
      at = end;
      continue;
    }
    word += mark;
    at++;
  }
  return { text: word, end: at };
}

function closingQuote(text: string, from: number): number {
  const end = text.indexOf("'", from + 1);
  return end < 0 ? -1 : end + 1;
}

/** Behind the bracket or double quote that closes the one at `from`; strings may hold anything. */
function closingBracket(text: string, from: number): number {
  let depth = 0;
  let isString = false;
  for (let at = from; at < text.length; at++) {
    const mark = text[at] as string;
    if (isString) {
      if (mark === '\\') at++;
      else if (mark === '"') isString = false;
    } else if (mark === '"') isString = true;
    else if (mark === '{' || mark === '[') depth++;
    else if (mark === '}' || mark === ']') depth--;
    if (depth <= 0 && !isString) return at + 1;
  }
  return -1;
}

/** What `splitWords` would not take as it stands: blanks, marks where a word or a value begins, the backslash that asks for more. */
const NEEDS_QUOTES = /\s|(^|=)['"{[]|^\\?$/;

/** A word so that `splitWords` gives it back, but where it needs quotes and has a single quote itself: nothing says that. */
export function quoteWord(word: string): string {
  return NEEDS_QUOTES.test(word) ? `'${word}'` : word;
}
