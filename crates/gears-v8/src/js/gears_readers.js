// The readers of GearsBuilder: what each of them reads in a run, what a registration with it is, and what both can be
// given by name. While a run reads, it has the server's lock for a page of a scan, or for some values, at a time.
(function (native, dialect) {
  "use strict";
  const { entry: make_entry, event: make_event, valued_event, name: make_name, is_function } = dialect;
  const { execute: command } = native;
  // Kept here, since the library may replace the globals.
  const { isArray } = Array;
  const { isFinite, isInteger } = Number;
  const { now } = Date;
  const { round } = Math;
  const Numeric = Number;
  const Text = String;
  const Unique = Set;

  // --- records -------------------------------------------------------------------------------

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

  return { READERS, ALONE, is_of_one_key, policy_of };
})
