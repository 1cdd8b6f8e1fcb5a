// Bare jobs on graphile-worker: C clients in a closed loop, each adds a job and waits for its end.
//
//   node jobs.mjs DATABASE_URL CLIENTS WARM_UP_SECONDS SECONDS
//
// One job does the work of three steps at once, so nothing is kept between them: this is what the
// least costs that a job queue on Postgres can do, not a peer in durability. Its end is told when the
// worker gives the result to the database, a moment before that has committed.

import { Logger, makeWorkerUtils, run } from "graphile-worker";

const [connectionString, ...numbers] = process.argv.slice(2);
const [clients, warmUpSeconds, seconds] = numbers.map(Number);

// As its documentation advises for throughput: jobs fetched and completed in batches, and a
// connection for each job and two more, within what the server has.
const MAX_CONNECTIONS = 100;
const preset = {
  worker: {
    connectionString,
    concurrentJobs: clients,
    maxPoolSize: Math.min(Math.max(clients + 2, 10), MAX_CONNECTIONS),
    localQueue: clients > 1 ? { size: clients + 1 } : undefined,
    completeJobBatchDelay: clients > 1 ? 0 : -1,
    logger: new Logger(() => (level, message) => {
      if (level === "error") console.error(message);
    }),
  },
};

const waiting = new Map();
const ended = new Set();

async function main() {
  const utils = await makeWorkerUtils({ preset });
  await utils.migrate();
  const runner = await run({
    preset,
    taskList: {
      "three-steps": ({ number }) => {
        const result = number + 1 + 1 + 1;
        if (result !== number + 3) throw new Error(`the steps made ${result} of ${number}`);
      },
    },
  });
  runner.events.on("job:complete", ({ job, error }) => {
    const id = String(job.id);
    const client = waiting.get(id);
    if (client === undefined) {
      // It ended before its client learned the job's id.
      ended.add(id);
    } else {
      waiting.delete(id);
      client(error);
    }
  });

  const countedFrom = performance.now() + warmUpSeconds * 1e3;
  const countedUntil = countedFrom + seconds * 1e3;
  const latencies = [];
  async function client() {
    for (let number = 0; ; number++) {
      const begun = performance.now();
      if (begun >= countedUntil) return;
      const job = await utils.addJob("three-steps", { number });
      await end(String(job.id));
      const now = performance.now();
      if (now > countedFrom && now <= countedUntil) latencies.push(now - begun);
    }
  }
  await Promise.all(Array.from({ length: clients }, client));
  await runner.stop();
  await utils.release();

  latencies.sort((a, b) => a - b);
  const quantile = (q) => latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))];
  console.log(
    JSON.stringify({
      engine: "graphile-worker",
      clients,
      per_second: latencies.length / seconds,
      p50_ms: quantile(0.5) ?? 0,
      p99_ms: quantile(0.99) ?? 0,
    }),
  );
}

function end(id) {
  if (ended.delete(id)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    waiting.set(id, (error) => (error ? reject(error) : resolve()));
  });
}

await main();
