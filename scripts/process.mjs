/**
 * Child processes for the scripts: started without a shell, ended with us, their outcome a value instead of an event.
 * Node built-ins only.
 */
import { spawn } from 'node:child_process';

/**
 * Runs a program to its end. Answers `{ code, output, timedOut }`; a program killed by a signal has code 128 or more.
 * `capture` keeps what it prints instead of showing it, `keepEnd` shows it and answers the end of it too; `timeoutMs` ends
 * it (and what it started) when it takes longer.
 */
export function run(program, args, { cwd, env, capture = false, keepEnd = false, timeoutMs = 0 } = {}) {
  return new Promise((resolve) => {
    // A group of its own lets a timeout end grandchildren too; a terminal's Ctrl-C is handed on below.
    const group = timeoutMs > 0 && process.platform !== 'win32';
    const child = spawn(program, args, {
      cwd,
      env: env ?? process.env,
      stdio: capture || keepEnd ? ['ignore', 'pipe', 'pipe'] : 'inherit',
      detached: group,
    });
    const parts = [];
    const take = (shown) => (part) => {
      parts.push(part);
      if (capture) return;
      shown.write(part);
      // What nobody will ask for again: a lane may print for minutes.
      if (parts.length > 500) parts.splice(0, 250);
    };
    child.stdout?.on('data', take(process.stdout));
    child.stderr?.on('data', take(process.stderr));

    let timedOut = false;
    const signal = (name) => {
      try {
        if (group) process.kill(-child.pid, name);
        else child.kill(name);
      } catch {
        // It ended on its own in the meantime.
      }
    };
    const onInterrupt = () => signal('SIGINT');
    const onTerminate = () => signal('SIGTERM');
    process.on('SIGINT', onInterrupt);
    process.on('SIGTERM', onTerminate);
    const timer =
      timeoutMs > 0
        ? setTimeout(() => {
            timedOut = true;
            signal('SIGKILL');
          }, timeoutMs)
        : undefined;

    let settled = false;
    let lastWords;
    const finish = (code, extra = '') => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      clearTimeout(lastWords);
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', onTerminate);
      resolve({ code, timedOut, output: Buffer.concat(parts).toString('utf8') + extra });
    };
    child.on('error', (error) => finish(127, `${error.message}\n`));
    child.on('close', (code) => finish(code ?? 128));
    // A pipe that something it left behind holds open is not waited for.
    child.on('exit', (code) => {
      lastWords = setTimeout(() => {
        finish(code ?? 128);
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, 2000);
    });
  });
}

/** A message for a person, then the end of the script. */
export class Stop extends Error {
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

export function seconds(sinceMs) {
  return `${((Date.now() - sinceMs) / 1000).toFixed(1)} s`;
}
