/** The other end of `processes.ts`: what a started program says and hears. */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

/**
 * Says a line to the parent. It is in the kernel's hands when this returns, so a kill a moment later does not unsay it.
 */
export function say(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(3, bytes, done);
    } catch (error) {
      // The pipe is full: the parent is reading, go on trying.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

/** Runs `fn` for each line from the parent; the process ends when the parent is gone. */
export function hear(fn: (line: string) => void): void {
  createInterface({ input: process.stdin })
    .on('line', fn)
    .on('close', () => process.exit(0));
}
