/** One work with one peer, in a process of its own. Takes the job as JSON, answers with a line that starts with RESULT. */
import { runJob } from './job.mjs';

const job = JSON.parse(process.argv[2]);
const result = await runJob(job, (await import(`./peers/${job.peer}.mjs`)).open);
console.log(`RESULT ${JSON.stringify(result)}`);
