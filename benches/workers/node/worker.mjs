// What one writes in Node.js without the module: a loop around XREADGROUP that acknowledges and trims.
//
// Usage: worker.mjs PORT STREAM GROUP COUNT [COMMAND ...]. A command is run once for each entry.
// Runs until it is killed.

import { createRequire } from "node:module";

// Where `scripts/setup bench` has put it.
const { Redis } = createRequire(process.env.BENCH_NODE_MODULES)("ioredis");

/** The callback; empty, as those are that it is compared with. */
function process_entry(_entry) {}

/** The smallest ID above the given one. */
function id_after(id) {
  const [milliseconds, sequence] = id.split("-");
  return `${milliseconds}-${BigInt(sequence) + 1n}`;
}

const [port, stream, group, count, ...effect] = process.argv.slice(2);
const client = new Redis({ host: "127.0.0.1", port: Number(port) });
for (;;) {
  const [[, entries]] = await client.xreadgroup(
    "GROUP", group, "worker", "COUNT", count, "BLOCK", 0, "STREAMS", stream, ">",
  );
  const pipeline = client.pipeline();
  for (const entry of entries) {
    process_entry(entry);
    if (effect.length) pipeline.call(...effect);
  }
  const ids = entries.map(([id]) => id);
  pipeline.xack(stream, group, ...ids);
  pipeline.xtrim(stream, "MINID", "~", id_after(ids.at(-1)));
  for (const [error] of await pipeline.exec()) if (error) throw error;
}
