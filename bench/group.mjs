/**
 * Group commit for peers that have none for JavaScript callers: what many clients ask for in one turn of the event loop
 * becomes one durable write, and everyone is answered together.
 */
export function groupCommit(commitAll) {
  let waiting = [];
  let running = false;

  async function drain() {
    running = true;
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      try {
        await commitAll(group.map((entry) => entry.work));
        for (const entry of group) entry.resolve();
      } catch (error) {
        for (const entry of group) entry.reject(error);
      }
    }
    running = false;
  }

  return (work) =>
    new Promise((resolve, reject) => {
      waiting.push({ work, resolve, reject });
      if (!running) {
        running = true;
        setImmediate(drain);
      }
    });
}
