// How an execution of GearsBuilder goes over the shards of a cluster. It knows nothing of the server: who has
// which slot, and the way to other shards, are given to it.
//
// The plan is cut where records change their shard. What lies between two cuts is a stage. The shard where the
// execution began has each stage run wherever there is something for it, and waits for all of them; what they
// give, it sends on to the shards that the records have to go to next. So no shard keeps anything between two
// stages, and whatever fails is known by its shard: there is no answer of some shards that looks like one of all.
//
//   initiator ── stage 0 ──> all shards: read, steps up to the first cut
//             <── records, sorted by where they go; errors
//             ── stage 1 ──> those that records go to, with these
//             <── ...
//             the last stage, after `collect`, is run here
(function (processing) {
  "use strict";
  const { step, flow, drive, text_of, error_text } = processing;
  // Kept here, since the library may replace the globals.
  const { assign } = Object;
  const Buffer = ArrayBuffer;
  const Dictionary = Map;
  const Later = Promise;
  const { isView } = ArrayBuffer;
  const { all } = Promise;
  const everyone = (promises) => all.call(Later, promises);

  // Records that go together.
  const CHUNK = 1000;
  // Where the execution began, as a place for records to go to.
  const INITIATOR = "";

  // What comes of a stage whose execution was aborted.
  const ABORTED = "The execution was aborted";

  // An error of another shard, or about one, which is known as text alone.
  class Told {
    constructor(text) {
      this.text = text;
    }
    toString() {
      return this.text;
    }
  }
  const text_of_error = (error) => (error instanceof Told ? error.text : error_text(error));

  // --- the plan ------------------------------------------------------------------------------

  const is_move = ({ kind }) => kind === "move";
  // A key that only says where its record goes may be bytes, as names of keys are: they go by their slot as they are. What
  // records are gathered by is a text.
  const is_bytes = (value) => value instanceof Buffer || isView(value);
  const pair_with = ({ key, wraps }) => {
    const key_of = (found) => (!wraps && is_bytes(found) ? found : text_of(found));
    return step("map", (record) => {
      const found = key(record);
      return found instanceof Later ? found.then((late) => [key_of(late), record]) : [key_of(found), record];
    });
  };
  // The step behind a move that wraps gets the key that decided about the way: it is asked for once.
  const unwrapping = (one) =>
    assign({}, one, { key: (pair) => pair[0], f: (key, gathered, pair) => one.f(key, gathered, pair[1]) });

  // The stages of a plan. `to`: where records go behind it, "owner" or "initiator"; null behind the last one.
  const cut = (steps) => {
    const stages = [];
    let current = [];
    let is_wrapped = false;
    for (const one of steps) {
      if (!is_move(one)) {
        current.push(is_wrapped ? unwrapping(one) : one);
        is_wrapped = false;
        continue;
      }
      current.push(...one.before);
      const is_by_key = one.key !== undefined;
      if (is_by_key) current.push(pair_with(one));
      stages.push({ steps: current, to: is_by_key ? "owner" : "initiator", wraps: one.wraps });
      current = [];
      is_wrapped = one.wraps;
    }
    stages.push({ steps: current, to: null, wraps: false });
    return stages;
  };

  // --- records on their way --------------------------------------------------------------------

  // Takes what a stage gives, and sorts it by where it goes. What stays here, `here`, stays as it is.
  const make_sorter = ({ to, wraps }, { here, place_of, pack }, errors) => {
    const kept = [];
    const leaving = new Dictionary(); // by shard: chunks that are full, and records that are not in one yet
    const close = (one) => {
      const records = one.open;
      one.open = [];
      try {
        one.chunks.push(pack(records, wraps));
      } catch {
        // One of them cannot be sent: which?
        for (const record of records) {
          try {
            one.chunks.push(pack([record], wraps));
          } catch (error) {
            errors.push(error);
          }
        }
      }
    };
    return {
      push(record) {
        if (to === null) {
          kept.push(record);
          return;
        }
        const place = to === "initiator" ? INITIATOR : place_of(record[0]);
        if (to === "owner" && !wraps) record = record[1];
        if (here(place)) {
          kept.push(record);
          return;
        }
        let one = leaving.get(place);
        if (one === undefined) leaving.set(place, (one = { chunks: [], open: [] }));
        one.open.push(record);
        if (one.open.length === CHUNK) close(one);
      },
      end() {
        const sorted = [];
        for (const [place, one] of leaving) {
          if (one.open.length > 0) close(one);
          if (one.chunks.length > 0) sorted.push([place, one.chunks]);
        }
        return { kept, leaving: sorted };
      },
    };
  };
  // Gives records that have come, some at a time.
  const reading = (kept, chunks, unpack) => {
    let taken = 0;
    let is_first = true;
    return () => {
      if (is_first) {
        is_first = false;
        return kept;
      }
      return taken < chunks.length ? unpack(chunks[taken++]) : undefined;
    };
  };

  // Runs one stage here. `next` gives its records.
  const run_stage = async (stage, next, way, errors, check, continues) => {
    const sorter = make_sorter(stage, way, errors);
    await drive(flow(stage.steps, [], next, errors, sorter, continues), check);
    return sorter.end();
  };

  // --- the shard where it began ----------------------------------------------------------------

  // Runs a plan; gives what its last stage gives here. `first`: the shards that begin; `me`: this one; `begin`: runs
  // the first stage here; `ask`: has a stage run on another shard, gives {errors, leaving}; `bytes_max`: what may be
  // on its way at a time; `note`: is told of each stage that begins or has ended on a shard, and whether it was aborted.
  const run_everywhere = async (plan) => {
    const { stages, first, me, begin, ask, unpack, errors, check, bytes_max, note } = plan;
    const way = { here: (place) => place === INITIATOR || place === me, place_of: plan.place_of, pack: plan.pack };
    let inputs = new Dictionary(first.map((shard) => [shard, { kept: [], chunks: [] }]));
    let results = [];
    for (let at = 0; at < stages.length; at++) {
      const stage = stages[at];
      const own = [];
      const run_here = async ({ kept, chunks }) => {
        if (at === 0) return { errors: own, ...(await begin(stage, way, own)) };
        const next = reading(kept, chunks, (chunk) => unpack(chunk, stages[at - 1].wraps));
        // What was read goes on, whatever fails.
        return { errors: own, ...(await run_stage(stage, next, way, own, check, true)) };
      };
      const run_there = async (shard, { chunks }) => {
        try {
          const { errors, leaving } = await ask(shard, at, chunks);
          return { errors: errors.map((text) => new Told(text)), kept: [], leaving };
        } catch (error) {
          return { errors: [new Told(failure(shard, error))], kept: [], leaving: [], is_aborted: error?.message === ABORTED };
        }
      };
      const outputs = await everyone(
        [...inputs].map(async ([shard, input]) => {
          const is_here = way.here(shard);
          const name = is_here ? me : shard;
          note?.(name, true, undefined);
          const output = await (is_here ? run_here(input) : run_there(shard, input));
          note?.(name, false, output.errors, output.is_aborted);
          return output;
        }));
      check?.();
      inputs = new Dictionary();
      let bytes = 0;
      for (const output of outputs) {
        for (const error of output.errors) errors.push(error);
        if (stage.to === null) {
          results = results.concat(output.kept);
          continue;
        }
        const add = (place) => {
          if (!inputs.has(place)) inputs.set(place, { kept: [], chunks: [] });
          return inputs.get(place);
        };
        if (output.kept.length > 0) {
          const here = add(stage.to === "initiator" ? INITIATOR : me);
          here.kept = here.kept.concat(output.kept);
        }
        for (const [place, chunks] of output.leaving) {
          const input = add(place);
          for (const chunk of chunks) {
            bytes += chunk.byteLength;
            input.chunks.push(chunk);
          }
        }
      }
      if (bytes > bytes_max) {
        throw new Told(`ERR the records between two stages take ${bytes} bytes, of execution-memory, ${bytes_max}, at most`);
      }
    }
    return results;
  };
  // The code comes first, once.
  const failure = (shard, error) => `ERR shard ${shard}: ${text_of_error(error).replace(/^(?:Error: )?(?:ERR )?/i, "")}`;

  return { INITIATOR, ABORTED, Told, text_of_error, is_move, cut, reading, run_stage, run_everywhere };
})
