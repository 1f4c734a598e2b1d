// GearsBuilder and the functions beside it, as RedisGears 1 has them, on top of what the `redis` object can.
// How records are processed is in gears_flow.js, how they go over the shards of a cluster in gears_shards.js.
//
// It is evaluated once for a library, when that first names one of these globals, so that the others do not
// pay for it. It keeps nothing of the server's: a registration is a stream consumer or a notification
// consumer like any other, whose callback has records flow through the steps, and a run is an async
// function. While a run reads, it has the server's lock for a page of a scan, or for some values, at a time;
// steps run outside of it.
//
// What records, operators and errors are is a matter of the library's language: `dialect` has what is not
// JavaScript's way.
(function (native, processing, make_shards, dialect) {
  "use strict";
  const { step, to_initiator, local, flow, drive_now, drive } = processing;
  const { atomic: lock, is_async_function, is_locked, execute: command } = native;
  // Kept here, since the library may replace the globals.
  const { isArray } = Array;
  const { create, defineProperty, hasOwn, keys } = Object;
  const { isFinite, isInteger } = Number;
  const { now } = Date;
  const { parse, stringify } = JSON;
  const { min, round } = Math;
  const { isView } = ArrayBuffer;
  const Buffer = ArrayBuffer;
  const Bytes = Uint8Array;
  const Dictionary = Map;
  const Later = Promise;
  const Numeric = Number;
  const SharedBuffer = SharedArrayBuffer;
  const Text = String;
  const Unique = Set;

  // --- records -------------------------------------------------------------------------------

  // Whatever a field is called, it is a property of the object's own.
  const put = (object, name, value) => {
    if (name === "__proto__") {
      defineProperty(object, name, { __proto__: null, value, writable: true, enumerable: true, configurable: true });
    } else {
      object[name] = value;
    }
  };
  // Of a stream's entry. What is not UTF-8 is given as bytes, so that it can be written again; a field whose
  // name is not has no place in an object.
  const entry = (format, key, id, pairs, data) => {
    const is_nested = format === "nested";
    const fields = is_nested ? {} : { streamId: id };
    for (let at = 0; at < pairs.length; at++) {
      const name = pairs[at][0];
      if (typeof name === "string") put(fields, name, pairs[at][1] ?? data.record_raw[at][1]);
    }
    return is_nested ? { key, id, value: fields } : fields;
  };
  const same = (value) => value;
  const rethrow = (error) => {
    throw error;
  };
  const javascript = {
    operators: processing.operators,
    text_of: processing.text_of,
    error_text: processing.error_text,
    is_function: processing.is_function,
    entry,
    event: (key, event) => ({ key, event }),
    valued_event: (key, value, type, event) => ({ key, value, type, event }),
    name: same,
    // What a run replies of its results, and what it gives to the script itself.
    reply_of: same,
    outcome_of: same,
    // Has the engine see an error of a step.
    raise: rethrow,
    hook: (f) => f,
    // What of a record is sent to another shard, and what that makes of it.
    to_data: same,
    of_data: same,
  };
  const { operators, text_of, error_text, is_function, entry: make_entry, event: make_event, valued_event, name: make_name,
    reply_of, outcome_of, raise, hook: make_plain_hook, to_data, of_data } = { ...javascript, ...dialect };

  const of_entry = ({ recordFormat }) => (data) =>
    make_entry(recordFormat, data.stream_name ?? data.stream_name_raw, `${data.id[0]}-${data.id[1]}`, data.record, data);
  const of_event = ({ readValue = true }) => (data) => {
    const key = data.key ?? data.key_raw;
    const { event, type } = data;
    if (!readValue) return make_event(key, event);
    return valued_event(key, type === "string" ? data.value ?? data.value_raw : data.value, type, event);
  };

  // --- reading -------------------------------------------------------------------------------

  // Keys that one SCAN looks at; what is read at once; how long that takes, unless one value takes longer.
  const SCANNED = 1000;
  const AT_ONCE = 100;
  const READING_MS = 20;

  // In a cluster each shard reads what is its own: `owns` is there to tell that, and `me` is its ID.
  const ALONE = { me: "1", owns: () => true };
  // A reader gives the function that is called under the lock for the next records, few enough not to hold
  // the server up; it gives undefined behind the last ones.
  const once = (make) => {
    let is_over = false;
    return () => {
      if (is_over) return undefined;
      is_over = true;
      return make();
    };
  };
  // `read` makes a record of a key's name, or undefined.
  const scan = (pattern, count, at_once, read) => {
    const seen = new Unique(); // SCAN may give a key more than once
    let cursor;
    let names = [];
    let taken = 0;
    return () => {
      if (taken === names.length) {
        if (cursor === "0") return undefined;
        [cursor, names] = command(["SCAN", cursor ?? "0", "MATCH", pattern, "COUNT", count]);
        taken = 0;
      }
      const records = [];
      const until = now() + READING_MS;
      while (taken < names.length && records.length < at_once && now() < until) {
        const name = names[taken++];
        if (seen.has(name)) continue;
        seen.add(name);
        const record = read(name);
        if (record !== undefined) records.push(record);
      }
      return records;
    };
  };
  const VALUES = {
    __proto__: null,
    string: (key) => command(["GET", key]),
    hash: (key) => command(["HGETALL", key]),
    list: (key) => command(["LRANGE", key, 0, -1]),
    set: (key) => [...command(["SMEMBERS", key])],
    zset: (key) => command(["ZRANGE", key, 0, -1, "WITHSCORES"]),
    stream: () => null,
    module: () => null,
    empty: () => null,
  };
  const read_key = (key, must_exist) => {
    const name = Text(command(["TYPE", key]));
    const type = name === "none" ? "empty" : name in VALUES ? name : "module";
    return must_exist && type === "empty" ? undefined : valued_event(key, VALUES[type](key), type, null);
  };
  const read_keys = (pattern, { noScan = false, readValue = true }, { owns }) => {
    const read = (key) => {
      if (!owns(key)) return undefined;
      return readValue ? read_key(key, !noScan) : make_event(key, null);
    };
    if (noScan) return once(() => [read(pattern)]);
    // One that went away since the SCAN was not found.
    return scan(pattern, SCANNED, readValue ? AT_ONCE : SCANNED, read);
  };
  const read_names = (pattern, { noScan = false, count = SCANNED }, { owns }) => {
    if (!noScan) return scan(pattern, count, SCANNED, (name) => (owns(name) ? make_name(name) : undefined));
    return once(() => (Numeric(command(["EXISTS", pattern])) > 0 ? [make_name(pattern)] : []));
  };
  const read_stream = (key, { fromId = "0-0", recordFormat }) => {
    let last = fromId;
    return () => {
      const page = command(["XRANGE", key, `(${last}`, "+", "COUNT", AT_ONCE]);
      if (page.length === 0) return undefined;
      last = page[page.length - 1][0];
      return page.map(([id, words]) => {
        const pairs = [];
        for (let at = 0; at < words.length; at += 2) pairs.push([words[at], words[at + 1]]);
        return make_entry(recordFormat, key, id, pairs);
      });
    };
  };

  // --- registering ---------------------------------------------------------------------------

  const register_keys = (name, prefix, callback, common, { eventTypes, keyTypes, readValue = true }) => {
    const filters = { event_types: eventTypes, key_types: keyTypes, read_value: readValue };
    native.register_notifications_consumer(name, prefix, callback, { ...common, ...filters });
  };
  // Who waits for the reply cannot wait for a retry.
  const policy_of = ({ mode, onFailedPolicy }) =>
    onFailedPolicy?.toLowerCase() ?? (mode === "sync" ? "continue" : "retry");
  const register_stream = (name, prefix, callback, common, options) => {
    const { mode, batch = 1, duration = 0, onFailedRetryInterval = 1, trimStream = true } = options;
    const policy = policy_of(options);
    if (mode === "sync" && policy !== "continue") {
      throw new Error(`Argument 'onFailedPolicy' of 'register' cannot be '${policy}' with mode 'sync'`);
    }
    // Refused are options that would do nothing beside the others.
    native.register_stream_consumer(name, prefix, 1, trimStream, callback, {
      ...common,
      on_failure: policy,
      retry_interval: policy === "retry" ? round(onFailedRetryInterval * 1000) : undefined,
      scope: policy === "continue" ? undefined : "consumer",
      batch: batch > 1 ? batch : undefined,
      duration: batch > 1 && duration > 0 ? duration : undefined,
    });
  };

  // --- arguments -----------------------------------------------------------------------------

  // What can be given by name: how it is told, and what it must be.
  const is_text = (value) => typeof value === "string";
  const text = [is_text, "a string"];
  const flag = [(value) => typeof value === "boolean", "a boolean"];
  const callable = [(value) => is_function(value), "a function"];
  const one_of = (...words) => [(value) => words.includes(value), `one of ${words.join(", ")}`];
  const whole = (least, most) =>
    [(value) => isInteger(value) && value >= least && value <= most, `a whole number between ${least} and ${most}`];
  const list_of = ([is, what]) =>
    [(value) => isArray(value) && value.length > 0 && value.every(is), `an array that is not empty, each ${what}`];
  const DAY = 86_400;
  const format = one_of("flat", "nested");
  const policy = one_of("continue", "abort", "retry");
  const of_all = { __proto__: null, convertToStr: flag, collect: flag };
  const of_run = { __proto__: null, ...of_all, mode: one_of("async", "async_local") };
  const of_registrations = {
    ...of_all,
    prefix: text,
    regex: text,
    mode: one_of("async", "async_local", "sync"),
    onRegistered: callable,
    OnRegistered: callable,
    recordFormat: format,
  };
  const READERS = {
    __proto__: null,
    KeysReader: {
      read: read_keys,
      of_run: { __proto__: null, ...of_run, noScan: flag, readValue: flag },
      register: register_keys,
      record_of: of_event,
      of_register: {
        __proto__: null,
        ...of_registrations,
        eventTypes: list_of(text),
        keyTypes: list_of(one_of("string", "list", "hash", "set", "zset", "stream", "module", "empty")),
        readValue: flag,
        noScan: flag,
      },
    },
    KeysOnlyReader: {
      read: read_names,
      of_run: { __proto__: null, ...of_run, noScan: flag, count: whole(1, 10_000) },
    },
    StreamReader: {
      read: read_stream,
      of_run: { __proto__: null, ...of_run, fromId: text, recordFormat: format },
      register: register_stream,
      record_of: of_entry,
      of_register: {
        __proto__: null,
        ...of_registrations,
        batch: whole(1, 10_000),
        duration: whole(0, DAY * 1000),
        onFailedPolicy: [(value) => is_text(value) && policy[0](value.toLowerCase()), policy[1]],
        onFailedRetryInterval: [
          (value) => isFinite(value) && value >= 0 && value <= DAY,
          `a number of seconds between 0 and ${DAY}`,
        ],
        trimStream: flag,
      },
    },
    ShardsIDReader: { read: (_argument, _options, { me }) => once(() => [me]), of_run },
  };
  // What is one key is on one shard.
  const is_of_one_key = (reader, { noScan = false }) => reader === "StreamReader" || noScan;
  // What an operator was given: one argument by position, at most, and an object of those by name behind it. What
  // is null, the None of Python, counts as not given.
  const take = (where, known, args) => {
    const present = args.filter((arg) => arg !== undefined && arg !== null);
    const by_name = typeof present.at(-1) === "object" ? present.pop() : {};
    if (present.length > 1) throw new TypeError(`'${where}' takes one argument, and behind it an object of the others`);
    const taken = create(null);
    for (const name of keys(by_name)) {
      if (!(name in known)) throw new Error(`Unknown argument '${name}' of '${where}'`);
      const value = by_name[name] ?? undefined;
      const [is, what] = known[name];
      if (value !== undefined && !is(value)) throw new TypeError(`Argument '${name}' of '${where}' must be ${what}`);
      taken[name] = value;
    }
    return [present[0], taken];
  };
  // Of the spellings of an argument.
  const only = (name, ...spellings) => {
    const values = spellings.filter((value) => value !== undefined);
    if (values.length > 1) throw new Error(`Argument '${name}' of 'register' was given more than once`);
    return values[0];
  };

  // --- shards --------------------------------------------------------------------------------

  const { INITIATOR, Told, text_of_error, is_move, cut, reading, run_stage, run_everywhere } =
    make_shards({ ...processing, error_text });
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

  // The steps of builders that were made while the library was loaded: all shards have the same.
  const made = [];
  const steps_of = ({ number, length, is_run, converts }) => {
    const steps = made[number]().slice(0, length);
    if (converts) steps.push(step("map", text_of));
    // Results come back to where the run began.
    if (is_run) steps.push(to_initiator());
    return steps;
  };
  const ask_with = (id, request) => (shard, at, chunks) =>
    new Later((resolve, reject) => native.ask(shard, id, resolve, reject, { ...request, at }, chunks));

  // Tells what each shard does for a run.
  const make_notes = (id) => {
    const shards = new Dictionary();
    return (shard, begins, errors) => {
      let one = shards.get(shard);
      if (one === undefined) shards.set(shard, (one = { status: "running", stages: 0, ms: 0, began: 0, errors: [] }));
      if (begins) {
        one.began = now();
        one.stages += 1;
      } else {
        one.ms += now() - one.began;
        for (const error of errors) one.errors.push(text_of_error(error));
      }
      one.status = begins ? "running" : "done";
      native.execution_shards(id, stringify([...shards].map(([name, { status, stages, ms, errors }]) => [name, status, stages, ms, errors])));
    };
  };

  // What another shard asks for.
  const run_for_another = async (_client, request, chunks) => {
    const { plan, at, digest, first, table, id } = request;
    if (digest !== native.digest()) throw new Error("ERR the shard has another version of the library");
    const stages = cut(steps_of(plan));
    const errors = [];
    const way = { here: () => false, place_of: place_in(table_of(table)), pack };
    const check = () => {
      if (id !== "" && native.execution_is_aborted(id)) throw new Error("The execution was aborted");
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

  // --- the builder ---------------------------------------------------------------------------

  // What a consumer calls. It throws the first error, by which the policy goes. Where that is to continue,
  // the rest of a batch must not be lost for it.
  // Of a plan that is for all shards, the steps behind a cut run where the records go.
  const make_callback = (is_sync, is_batch, steps, record_of, continues, plan) => {
    const records_of = (data) => (is_batch ? data.map((one) => record_of(one)) : [record_of(data)]);
    const begin = (data, errors) => flow(steps, records_of(data), undefined, errors, undefined, continues);
    if (plan !== undefined) {
      return async (_client, data) => {
        const errors = [];
        await follow_on_shards(plan, records_of(data), errors, continues);
        if (errors.length > 0) raise(errors[0] instanceof Told ? new Error(errors[0].text) : errors[0]);
      };
    }
    if (is_sync) {
      return (_client, data) => {
        const errors = [];
        drive_now(begin(data, errors));
        if (errors.length > 0) raise(errors[0]);
      };
    }
    return async (_client, data) => {
      const errors = [];
      await drive(begin(data, errors));
      if (errors.length > 0) raise(errors[0]);
    };
  };
  const make_hook = (given) => {
    const f = make_plain_hook(given);
    return is_async_function(f) ? async () => f() : () => f();
  };
  const is_taken = (error) => error instanceof Error && error.message.endsWith("already exists");

  const CAMEL_CASE = ["flatMap", "forEach", "localGroupBy", "groupBy", "batchGroupBy", "aggregateBy", "countBy"];

  let registered = 0;
  let is_scheduled = false;

  class Builder {
    #reader;
    #argument;
    #description;
    #steps = [];
    #plan = []; // name, function and argument of each operator
    #number; // among those that were made while the library was loaded
    #is_late = !native.is_loading(); // whether some of it was made after that

    constructor(reader, argument, description) {
      if (!(reader in READERS)) throw new Error(`${text_of(reader)} reader does not exists`);
      if (description !== undefined && !(typeof description === "string" && description.length <= 1000)) {
        throw new TypeError("Argument 'desc' of 'GearsBuilder' must be a string of at most 1000 characters");
      }
      this.#reader = reader;
      this.#argument = argument;
      this.#description = description;
      if (!this.#is_late) this.#number = made.push(() => this.#steps) - 1;
    }

    static {
      for (const name of keys(operators)) {
        this.prototype[name] = {
          [name](...args) {
            this.#steps.push(...operators[name](...args));
            if (!native.is_loading()) this.#is_late = true;
            this.#plan.push([name, Text(args.find(is_function)?.name ?? ""), ""]);
            return this;
          },
        }[name];
      }
      for (const name of CAMEL_CASE) this.prototype[name] = this.prototype[name.toLowerCase()];
    }

    register(...args) {
      const { register, record_of, of_register } = READERS[this.#reader];
      if (register === undefined) throw new Error(`'register' is not possible with the ${this.#reader}`);
      if (!native.is_loading()) throw new Error("'register' can only be used while the library is loaded");
      const [first, options] = take("register", of_register, args);
      const pattern = only("prefix", first, options.prefix, options.regex) ?? "*";
      if (!is_text(pattern)) throw new TypeError("Argument 'prefix' of 'register' must be a string");
      const hook = only("onRegistered", options.onRegistered, options.OnRegistered);
      const { mode = "async", batch = 1 } = options;

      const exact = !pattern.endsWith("*");
      const prefix = exact ? pattern : pattern.slice(0, -1);
      const continues = policy_of(options) === "continue";
      const plan = mode === "async" && native.is_in_cluster() && this.#steps.some(is_move)
        ? { number: this.#number, length: this.#steps.length }
        : undefined;
      const callback = make_callback(mode === "sync", batch > 1, local(this.#steps), record_of(options), continues, plan);
      const common = { exact, on_registered: hook && make_hook(hook) };
      const name = this.#description || `gears:${registered + 1}`;
      for (let number = 1; ; number++) {
        native.label(this.#description, mode);
        try {
          register(number === 1 ? name : `${name}:${number}`, prefix, callback, common, options);
          break;
        } catch (error) {
          if (!is_taken(error)) throw error;
        }
      }
      registered += 1;
    }

    run(...args) {
      const { read, of_run } = READERS[this.#reader];
      const [argument = this.#argument, options] = take("run", of_run, args);
      if (!is_text(argument)) throw new TypeError("Argument 'arg' of 'run' must be a string");
      const reader = this.#reader;
      const converts = options.convertToStr ?? false;
      const shared = native.is_in_cluster() && options.mode !== "async_local"
        ? { number: this.#number, length: this.#steps.length, is_run: true, converts }
        : undefined;
      if (shared !== undefined && this.#is_late) {
        throw new Error("'run' over all shards needs steps that all shards have: make the GearsBuilder at the top level of the library, with all of its steps, or run it with mode 'async_local'");
      }
      const steps = local(this.#steps);
      const plan = [...this.#plan];
      if (converts) {
        steps.push(step("map", text_of));
        plan.push(["map", "String", ""]);
      }
      const described = stringify({ reader, arg: argument, steps: plan });
      const execution = async (id) => {
        const errors = [];
        let results = [];
        const check = () => {
          if (native.execution_is_aborted(id)) throw new Error("The execution was aborted");
        };
        try {
          if (shared !== undefined) {
            results = await run_on_shards(shared, { reader, argument, options }, id, errors, check);
          } else {
            const next = read(argument, options, ALONE);
            await drive(flow(steps, [], () => lock(next), errors, results), check);
          }
        } catch (error) {
          errors.push(error);
        }
        return [results, errors.map(text_of_error)];
      };
      if (native.is_loading()) {
        if (is_scheduled) throw new Error("'run' was called more then 1 time");
        let resolve;
        const promise = new Later((settle) => (resolve = settle));
        native.schedule(async (_client, id) => {
          const outcome = await execution(id);
          resolve(outcome_of(outcome));
          return [reply_of(outcome[0]), outcome[1]];
        }, described);
        is_scheduled = true;
        return promise;
      }
      if (is_locked()) throw new Error("'run' can only be used where the server's lock is not held, in async code");
      const id = native.execution_begin(described);
      const observed = async () => {
        const outcome = await execution(id);
        native.execution_end(id, reply_of(outcome[0]), outcome[1]);
        return outcome_of(outcome);
      };
      return observed();
    }
  }
  function GearsBuilder(reader = "KeysReader", defaultArg = "*", desc = undefined) {
    return new Builder(reader, defaultArg, desc ?? undefined);
  }
  GearsBuilder.prototype = Builder.prototype;
  defineProperty(Builder.prototype, "constructor", { __proto__: null, value: GearsBuilder });

  // --- functions -----------------------------------------------------------------------------

  const is_bytes = (value) => isView(value) || value instanceof Buffer || value instanceof SharedBuffer;
  const execute = (...words) => {
    if (words.length === 0) return [];
    if (typeof words[0] !== "string") throw new TypeError("First argument to 'execute' must be a string");
    for (let at = 1; at < words.length; at++) if (!is_bytes(words[at])) words[at] = Text(words[at]);
    return command(words);
  };

  let is_atomic = false;
  const atomic = (work) => {
    if (typeof work !== "function") throw new TypeError("Argument to 'atomic' must be a function");
    if (is_async_function(work)) throw new TypeError("Argument to 'atomic' must not be an async function");
    if (is_atomic && is_locked()) {
      // Code that was ended for its time leaves the mark behind, and would do so for good.
      is_atomic = false;
      throw new Error("'atomic' cannot be used inside of 'atomic'");
    }
    is_atomic = true;
    let result;
    try {
      result = lock(work);
    } finally {
      is_atomic = false;
    }
    if (result instanceof Later) throw new Error("The function given to 'atomic' returned a promise");
    return result;
  };

  const log = (message, level = "notice") => {
    if (typeof message !== "string") throw new TypeError("First argument to 'log' must be a string");
    native.redis_log(`GEARS: ${message}`, level);
  };

  const slot_of = (key) => {
    let crc = 0;
    for (let at = 0; at < key.length; at++) {
      crc ^= key.charCodeAt(at) << 8;
      for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
    }
    return crc % 16_384;
  };
  // The lowest slot of this node, or of the one it is a replica of.
  const lowest_slot = (nodes) => {
    const lines = nodes.split("\n").map((line) => line.split(" "));
    let node = lines.find(([, , flags]) => flags?.split(",").includes("myself")) ?? [];
    node = lines.find(([id]) => id === node[3]) ?? node;
    // Behind the first eight words are slots: `5`, `7-100`, and those that are moving: `[6->-...]`.
    return min(...node.slice(8).filter((range) => !range.startsWith("[")).map((range) => parseInt(range, 10)));
  };
  const tag = { slot: 0, text: "06S" };
  const hashtag = () => {
    let nodes;
    try {
      nodes = Text(command(["CLUSTER", "NODES"]));
    } catch (error) {
      if (error.message?.includes("cluster support disabled")) return "06S";
      throw error;
    }
    const slot = lowest_slot(nodes);
    if (!isFinite(slot)) return null;
    // About as many texts as there are slots: worth to be kept.
    for (let number = 0; tag.slot !== slot; number++) {
      const text = number.toString(36);
      if (slot_of(text) === slot) {
        tag.slot = slot;
        tag.text = text;
      }
    }
    return tag.text;
  };

  const gearsConfigGet = (key, missing = null) => {
    if (typeof key !== "string") throw new TypeError("First argument to 'gearsConfigGet' must be a string");
    const value = hasOwn(native.config, key) ? native.config[key] : null;
    return value === null ? missing : text_of(value);
  };
  const configGet = (key) => gearsConfigGet(key);

  return { GearsBuilder, GB: GearsBuilder, execute, atomic, log, hashtag, gearsConfigGet, configGet };
})
