// What an execution of GearsBuilder that goes over shards needs of the cluster: who has which slot, records as bytes,
// calls of other shards, and what those ask for here. How it goes over them is in gears_shards.js.
(function (native, processing, shards, readers, dialect) {
  "use strict";
  const { step, to_initiator } = processing;
  const { INITIATOR, ABORTED, Told, text_of_error, cut, reading, run_stage, run_everywhere } = shards;
  const { READERS, is_of_one_key } = readers;
  const { text_of, to_data, of_data } = dialect;
  const { atomic: lock } = native;
  // Kept here, since the library may replace the globals.
  const { now } = Date;
  const { parse, stringify } = JSON;
  const Bytes = Uint8Array;
  const Dictionary = Map;
  const Later = Promise;

  const SLOTS = 16_384;

  const pack = (records, wraps) =>
    native.pack(records.map(wraps ? ([key, record]) => [key, to_data(record)] : to_data));
  const unpack = (chunk, wraps) =>
    native.unpack(chunk).map(wraps ? ([key, data]) => [key, of_data(data)] : of_data);

  // Who has which slot, as the server says at the moment: {me, shards: [[id, [[first, last], ...]], ...], moving,
  // is_complete}.
  const read_table = () => new Later((resolve, reject) => native.table(resolve, reject));
  const last_table = { text: undefined, table: undefined };
  const table_of = (text) => {
    if (last_table.text !== text) {
      const table = parse(text);
      table.ranges = table.shards.flatMap(([id, ranges]) => ranges.map(([first, last]) => ({ id, first, last })));
      table.ranges.sort((a, b) => a.first - b.first);
      last_table.text = text;
      last_table.table = table;
    }
    return last_table.table;
  };
  // The range that a slot is in; undefined where nobody has it.
  const range_of = ({ ranges }, key) => {
    const slot = native.slot_of(key);
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ranges[middle].last < slot) low = middle + 1;
      else high = middle;
    }
    const range = ranges[low];
    return range !== undefined && range.first <= slot ? range : undefined;
  };
  const place_in = (table) => (key) => {
    const range = range_of(table, key);
    if (range === undefined) throw new Told(`ERRCLUSTER slot ${native.slot_of(key)} has no shard`);
    return range.id;
  };
  const slots_of = (table, id) => table.shards.find(([one]) => one === id)?.[1] ?? [];
  // Slots that are in one of two lists of ranges and not in the other, or that are on their way: as text.
  const changes = (a, b, moving) => {
    const changed = new Bytes(SLOTS + 1);
    for (const [first, last] of [...a, ...b]) for (let slot = first; slot <= last; slot++) changed[slot] ^= 1;
    for (const slot of moving) changed[slot] = 1;
    const texts = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      if (changed[slot] === 0) continue;
      const first = slot;
      while (changed[slot + 1] === 1) slot++;
      texts.push(first === slot ? `${first}` : `${first}-${slot}`);
    }
    return texts.join(", ");
  };

  // Runs the first stage of a run on this shard, which is to have these slots.
  const read_here = async ({ reader, argument, options, expected }, stage, way, errors, check) => {
    const before = table_of(await read_table());
    const owns = (key) => range_of(before, key)?.id === before.me;
    const next = READERS[reader].read(argument, options, { me: before.me, owns });
    const found = await run_stage(stage, () => lock(next), way, errors, check, false);
    const after = table_of(await read_table());
    const held = [before, after].map((table) => slots_of(table, table.me));
    const texts = held.map((slots) => changes(expected, slots, [...before.moving, ...after.moving]));
    const moved = texts.find((text) => text !== "");
    if (moved !== undefined) {
      errors.push(new Told(`ERRCLUSTER slots ${moved} moved while shard ${after.me} read: what is in them may be missing, or there twice`));
    }
    return found;
  };

  // The steps of builders that were made while the library was loaded: all shards have the same, by the same numbers.
  const made = [];
  const remember = (steps) => made.push(steps) - 1;
  const steps_of = ({ number, length, is_run, converts }) => {
    const steps = made[number]().slice(0, length);
    if (converts) steps.push(step("map", text_of));
    // Results come back to where the run began.
    if (is_run) steps.push(to_initiator());
    return steps;
  };
  const ask_with = (id, request) => (shard, at, chunks) =>
    new Later((resolve, reject) => native.ask(shard, id, resolve, reject, { ...request, at }, chunks));

  // Tells what each shard does for a run; of what goes on, how long it has until now.
  const make_notes = (id) => {
    const shards = new Dictionary();
    return (shard, begins, errors, is_aborted) => {
      let one = shards.get(shard);
      if (one === undefined) shards.set(shard, (one = { status: "running", stages: 0, ms: 0, began: 0, errors: [] }));
      if (begins) {
        one.began = now();
        one.stages += 1;
      } else {
        one.ms += now() - one.began;
        // That of the run is told where it began, once.
        if (!is_aborted) for (const error of errors) one.errors.push(text_of_error(error));
      }
      one.status = begins ? "running" : is_aborted ? "aborted" : "done";
      const at = now();
      const told = ([name, { status, stages, ms, began: since, errors }]) =>
        [name, status, stages, status === "running" ? ms + at - since : ms, errors];
      native.execution_shards(id, stringify([...shards].map(told)));
    };
  };

  // What another shard asks for.
  const run_for_another = async (_client, request, chunks) => {
    const { plan, at, digest, first, table, id } = request;
    if (id !== "") native.execution_plan(id, plan.described);
    if (digest !== native.digest()) {
      const { me } = table_of(await read_table());
      return { errors: [`ERR shard ${me} has another version of the library`], leaving: [] };
    }
    const stages = cut(steps_of(plan));
    const errors = [];
    const way = { here: () => false, place_of: place_in(table_of(table)), pack };
    const check = () => {
      if (id !== "" && native.execution_is_aborted(id)) throw new Error(ABORTED);
    };
    const found = at === 0
      ? await read_here(first, stages[at], way, errors, check)
      : await run_stage(stages[at], reading([], chunks, (chunk) => unpack(chunk, stages[at - 1].wraps)), way, errors, check, true);
    return { errors: errors.map(text_of_error), leaving: found.leaving };
  };
  if (native.is_loading()) native.on_stage(run_for_another);

  // A run over all shards; gives its results.
  const run_on_shards = async (plan, { reader, argument, options }, id, errors, check) => {
    const text = await read_table();
    const table = table_of(text);
    if (!table.is_complete) throw new Told("ERRCLUSTER some slots have no shard: nothing was read");
    const shards = is_of_one_key(reader, options) ? [place_in(table)(argument)] : table.shards.map(([shard]) => shard);
    const first_of = (shard) => ({ reader, argument, options, expected: slots_of(table, shard) });
    const request = { plan, id, digest: native.digest(), table: text };
    const note = make_notes(id);
    return run_everywhere({
      stages: cut(steps_of(plan)),
      first: shards,
      me: table.me,
      begin: (stage, way, own) => read_here(first_of(table.me), stage, way, own, check),
      ask: (shard, at, chunks) => ask_with(id, at === 0 ? { ...request, first: first_of(shard) } : request)(shard, at, chunks),
      place_of: place_in(table),
      pack, unpack, errors, check, note,
      bytes_max: native.execution_bytes(),
    });
  };
  // What an event leads to: it begins here.
  const follow_on_shards = async (plan, records, errors, continues) => {
    const text = await read_table();
    const table = table_of(text);
    const request = { plan, id: "", digest: native.digest(), table: text };
    await run_everywhere({
      stages: cut(steps_of(plan)),
      first: [INITIATOR],
      me: table.me,
      begin: (stage, way, own) => run_stage(stage, reading(records, []), way, own, undefined, continues),
      ask: ask_with("", request),
      place_of: place_in(table),
      pack, unpack, errors,
      bytes_max: native.execution_bytes(),
    });
  };

  return { remember, run_on_shards, follow_on_shards };
})
