// What of the module is written in JavaScript: the records, the clients, and the functions through
// which the engine calls into a library. It runs before the library and keeps no reference that the
// library could reach or replace. The JIT compiler makes a record a few allocations here; V8's API
// would cost a call for every property.
(function (native) {
  "use strict";
  const {
    unpack, call, call_raw, call_either, may_block, credentials, lock, begin, is_async_function, current, set_current,
    callback_at_hand, place_at_hand, call_remote,
    make_gears, note_timer, ok,
  } = native;
  // Kept here, since the library may replace the globals; for the same reason nothing below
  // iterates, spreads or assigns where a prototype has a say.
  const { freeze } = Object;
  const { apply, defineProperty, ownKeys } = Reflect;
  const Later = Promise;
  const Text = String;
  const Number_of = Number;
  const char_of = String.fromCharCode;
  const { indexOf: index_of, slice: slice_of } = Text.prototype;
  const Bytes = Uint8Array;
  // The constructor throws where the library has no memory left; V8's API ends the process.
  const Buffer = ArrayBuffer;
  const allocate = (length) => new Buffer(length);

  // --- records -------------------------------------------------------------------------------

  class StreamRecord {
    #name;
    #packed;
    #raw;
    id;
    stream_name;
    record;
    constructor(ms, seq, text, name, record, packed) {
      this.id = [ms, seq];
      this.stream_name = text;
      this.record = record;
      this.#name = name;
      this.#packed = packed;
    }
    get stream_name_raw() {
      return (typeof this.#name === "string") ? (this.#name = unpack(this.#name)[0]) : this.#name;
    }
    get record_raw() {
      if (this.#raw === undefined) {
        const parts = unpack(this.#packed);
        const raw = [];
        for (let at = 0; at < parts.length; at += 2) raw[at / 2] = [parts[at], parts[at + 1]];
        this.#raw = raw;
        this.#packed = undefined;
      }
      return this.#raw;
    }
    static is(value) {
      return typeof value === "object" && value !== null && #name in value;
    }
  }
  const is_record = StreamRecord.is;

  // --- what happened to a key ------------------------------------------------------------------

  class Notification {
    #key;
    event;
    key;
    constructor(event, text, key) {
      this.event = event;
      this.key = text;
      this.#key = key;
    }
    get key_raw() {
      return (typeof this.#key === "string") ? (this.#key = unpack(this.#key)[0]) : this.#key;
    }
  }
  const pairs_of = (parts, second) => {
    const pairs = [];
    for (let at = 0; at < parts.length; at += 2) pairs[at / 2] = [parts[at], second(parts[at + 1])];
    return pairs;
  };
  // Of a hash as text, whose names that are not UTF-8 have no place in an object.
  const object_of = (parts) => {
    const object = {};
    for (let at = 0; at < parts.length; at += 2) {
      if (parts[at] !== null) defineProperty(object, parts[at], property(parts[at + 1]));
    }
    return object;
  };
  const same = (value) => value;
  const pairs_as_they_are = (parts) => pairs_of(parts, same);
  const number_in = (buffer) => Number_of(apply(char_of, undefined, new Bytes(buffer)));
  // `score_of` reads a score, `hash_of` makes a hash of its parts.
  const value_of = (type, parts, score_of, hash_of) => {
    switch (type) {
      case "string":
        return parts[0];
      case "list":
      case "set":
        return parts;
      case "zset":
        return pairs_of(parts, score_of);
      case "hash":
        return hash_of(parts);
      default:
        return null;
    }
  };
  class ValueNotification extends Notification {
    #type;
    #packed;
    #raw;
    type;
    value;
    constructor(event, text, key, type, packed, parts) {
      super(event, text, key);
      this.type = this.#type = type;
      this.value = value_of(type, parts, Number_of, object_of);
      this.#packed = packed;
    }
    get value_raw() {
      if (this.#packed !== undefined) {
        const parts = unpack(this.#packed);
        this.#raw = value_of(this.#type, parts, number_in, pairs_as_they_are);
        this.#packed = undefined;
      }
      return this.#raw;
    }
  }

  // --- replies -------------------------------------------------------------------------------

  // A Redis error: an Error that reads like the plain text.
  class RedisError extends Error {
    toString() {
      return this.message;
    }
  }
  defineProperty(RedisError.prototype, "name", { value: "RedisError", configurable: true });
  const make_error = (text) => new RedisError(text);
  // Why there is no result of a call on another shard. Where its function has thrown, that is its error.
  let cause_of;
  class RemoteError extends Error {
    // What it was made of, whatever scripts do with it.
    #told;
    constructor(text, told) {
      super(text);
      this.#told = told;
    }
    toString() {
      return this.message;
    }
    static {
      cause_of = (value) => (typeof value === "object" && value !== null && #told in value ? value.#told : undefined);
    }
  }
  defineProperty(RemoteError.prototype, "name", { value: "RemoteError", configurable: true });
  const make_remote_error = (text, code, may_have_run, shard, stack, cause) => {
    const error = new RemoteError(text, { message: text, code, may_have_run, shard, cause });
    if (cause !== undefined) defineProperty(error, "cause", { value: cause, writable: true, configurable: true });
    if (code !== undefined) error.code = code;
    error.may_have_run = may_have_run;
    if (shard !== undefined) error.shard = shard;
    defineProperty(error, "stack", { value: stack === undefined ? text : `${text}\n${stack}`, writable: true, configurable: true });
    return error;
  };
  // A clone of an error keeps message and stack, but of the names only those of the language. `text` is what the
  // error was as a string: of a Redis error the message alone.
  const restore_error = (error, text) => {
    const message = `${error.message}`;
    if (text === message) {
      const restored = make_error(message);
      defineProperty(restored, "stack", { value: error.stack, writable: true, configurable: true });
      return restored;
    }
    const ending = `: ${message}`;
    const end = text.length - ending.length;
    if (end > 0 && apply(slice_of, text, [end]) === ending) {
      const value = apply(slice_of, text, [0, end]);
      if (value !== error.name) defineProperty(error, "name", { value, writable: true, configurable: true });
    }
    return error;
  };
  // Strings and buffers that say what kind of reply they were.
  const property = (value) => ({ __proto__: null, value, writable: true, enumerable: true, configurable: true });
  // A constructor that returns what it is given has the fields put there: faster than to define them one by one.
  class Returned {
    constructor(value) {
      return value;
    }
  }
  class Tagged extends Returned {
    __reply_type;
    constructor(value, type) {
      super(value);
      this.__reply_type = type;
    }
  }
  const tag = (value, type, format) => {
    const tagged = new Tagged(typeof value === "string" ? new Text(value) : value, type);
    if (format !== undefined) {
      defineProperty(tagged, "__format", property(format));
      defineProperty(tagged, "__ext", property(format));
    }
    return tagged;
  };

  // "+OK", what most commands that write reply. The engine gives and takes the symbol `ok` for it: to make such an
  // object through V8's API, and to read it there, takes ten times as long.
  const { toString: text_of } = Text.prototype;
  const { toPrimitive: to_primitive } = Symbol;
  class Ok extends Returned {
    #made_here;
    __reply_type = "status";
    constructor() {
      super(new Text("OK"));
    }
    // Whether it still says "OK" to who reads it as any other `String` object: the library may have changed that.
    static is(value) {
      return #made_here in value && value[to_primitive] === undefined && value.toString === text_of &&
        value.__reply_type === "status";
    }
  }
  const reply_of = (reply) => (reply === ok ? new Ok() : reply);
  const result_of = (value) => (typeof value === "object" && value !== null && Ok.is(value) ? ok : value);

  // --- clients -------------------------------------------------------------------------------

  // The client of the sync code that runs now: no other may be used.
  let open = null;
  const check = (client) => {
    if (open === null || client !== open) throw new Error("Used on invalid client");
  };

  // Who has this may make clients: a library that could, could act as another user.
  const KEY = freeze({});

  // --- what is done once -----------------------------------------------------------------------

  // The IDs of entries that are done are members of a sorted set beside the data, by their milliseconds. When
  // there are too many, the lowest are taken out, and the highest of those stays in front, behind a "<": up to
  // there it is not known any more whether an entry is done.
  const KEPT = 10_000;
  const KEPT_MOST = 10_000_000;
  const FORGOTTEN = "<";
  // How many more may be there until some are taken out: all at once costs less.
  const slack_of = (keep) => (keep >> 4) + 1;
  const Whole = BigInt;
  const { isSafeInteger: is_whole } = Number;
  const HEX = "0123456789abcdef";
  const hex_of = (buffer) => {
    const bytes = new Bytes(buffer);
    let text = "0x";
    for (let at = 0; at < bytes.length; at++) text += HEX[bytes[at] >> 4] + HEX[bytes[at] & 15];
    return text;
  };
  // In a cluster it lies where the stream lies: only what is between the first braces decides on that.
  const once_key = (record) => {
    const place = place_at_hand();
    if (place === undefined) throw new Error("'once' can only be used while a stream consumer's callback runs");
    const name = record.stream_name;
    if (typeof name !== "string") return `rg.once:${hex_of(record.stream_name_raw)}:${place}`;
    const left = apply(index_of, name, ["{"]);
    const is_tagged = left >= 0 && apply(index_of, name, ["}", left]) > left + 1;
    return `rg.once:${is_tagged ? name : `{${name}}`}:${place}`;
  };
  // Whether an ID, as it is written behind `from` characters, is above another one.
  const is_above = (id, id_from, other, other_from) => {
    const dash = apply(index_of, id, ["-"]);
    const other_dash = apply(index_of, other, ["-"]);
    const ms = Whole(apply(slice_of, id, [id_from, dash]));
    const other_ms = Whole(apply(slice_of, other, [other_from, other_dash]));
    if (ms !== other_ms) return ms > other_ms;
    return Whole(apply(slice_of, id, [dash + 1])) > Whole(apply(slice_of, other, [other_dash + 1]));
  };
  const once_options = (options) => {
    let keep = KEPT;
    let forgotten = "throw";
    if (options === undefined) return { keep, forgotten };
    if (typeof options !== "object" || options === null) throw new TypeError("Third argument to 'once' must be an object");
    const names = ownKeys(options);
    for (let at = 0; at < names.length; at++) {
      const value = options[names[at]];
      switch (names[at]) {
        case "keep":
          if (!is_whole(value) || value < 1 || value > KEPT_MOST) {
            throw new TypeError(`Option 'keep' of 'once' must be a whole number between 1 and ${KEPT_MOST}`);
          }
          keep = value;
          break;
        case "forgotten":
          if (value !== "throw" && value !== "run" && value !== "skip") {
            throw new TypeError("Option 'forgotten' of 'once' must be 'throw', 'run' or 'skip'");
          }
          forgotten = value;
          break;
        default:
          throw new TypeError(`Unknown option '${Text(names[at])}' of 'once'`);
      }
    }
    return { keep, forgotten };
  };
  const check_once = (record, work) => {
    if (!is_record(record)) throw new TypeError("First argument to 'once' must be an entry that the callback was given");
    if (typeof work !== "function" || is_async_function(work)) {
      throw new TypeError("Second argument to 'once' must be a function that is not async");
    }
  };
  const once = (client, record, work, options) => {
    check_once(record, work);
    const { keep, forgotten } = once_options(options);
    const key = once_key(record);
    const ms = record.id[0];
    const id = `${ms}-${record.id[1]}`;
    if (call("ZSCORE", key, id) !== null) return undefined;
    const first = call("ZRANGE", key, 0, 0);
    if (first.length === 1 && first[0][0] === FORGOTTEN && !is_above(id, 0, first[0], 1)) {
      if (forgotten === "skip") return undefined;
      // A note would take the place of one that is above it, and still known.
      if (forgotten === "run") return work(client);
      throw make_error(`ERR it is not known any more whether the entry ${id} was done: '${key}' begins behind ${apply(slice_of, first[0], [1])}`);
    }
    // Writes nothing; whoever may not write there hears of it before the work is done.
    call("ZADD", key, "XX", ms, id);
    const result = work(client);
    check(client);
    call("ZADD", key, ms, id);
    const most = keep + slack_of(keep);
    const count = Number_of(call("ZCARD", key));
    if (count > most) {
      const taken = call("ZPOPMIN", key, count - keep);
      let highest = taken[0][0];
      let from = highest[0] === FORGOTTEN ? 1 : 0;
      for (let at = 1; at < taken.length; at++) {
        if (is_above(taken[at][0], 0, highest, from)) {
          highest = taken[at][0];
          from = 0;
        }
      }
      call("ZADD", key, "-inf", `${FORGOTTEN}${apply(slice_of, highest, [from])}`);
    }
    return result;
  };

  class AsyncClient {
    #user;
    #db;
    #flags;
    constructor(key, user, db, flags) {
      if (key !== KEY) throw new TypeError("Illegal constructor");
      this.#user = user;
      this.#db = db;
      this.#flags = flags;
    }
    block(work) {
      if (typeof work !== "function") throw new TypeError("Argument to 'block' must be a function");
      if (open !== null) throw new Error("Main thread is already blocked");
      try {
        return lock(this.#user, this.#db, this.#flags, run_sync, work);
      } finally {
        open = null;
      }
    }
    run_on_key(...given) {
      return new Later((resolve, reject) => {
        call_remote(this.#user, this.#db, this.#flags, resolve, reject, true, given);
      });
    }
    run_on_all_shards(...given) {
      return new Later((resolve, reject) => {
        call_remote(this.#user, this.#db, this.#flags, resolve, reject, false, given);
      });
    }
    once(record, work, options) {
      check_once(record, work);
      return apply(block_of, this, [(client) => once(client, record, work, options)]);
    }
  }
  const block_of = AsyncClient.prototype.block;

  class Client {
    call(...command) {
      check(this);
      // The usual numbers one by one: that makes no array, and spreads none.
      switch (command.length) {
        case 1:
          return reply_of(call(command[0]));
        case 2:
          return reply_of(call(command[0], command[1]));
        case 3:
          return reply_of(call(command[0], command[1], command[2]));
        case 4:
          return reply_of(call(command[0], command[1], command[2], command[3]));
        default:
          return reply_of(apply(call, undefined, command));
      }
    }
    call_raw(...command) {
      check(this);
      return apply(call_raw, undefined, command);
    }
    once(record, work, options) {
      check(this);
      return once(this, record, work, options);
    }
    allow_block(...none) {
      if (none.length !== 0) throw new TypeError("Wrong number of arguments to 'allow_block' function");
      check(this);
      return may_block();
    }
    run_on_background(...args) {
      if (args.length !== 1) throw new TypeError("Wrong number of arguments to 'run_on_background' function");
      const work = args[0];
      if (!is_async_function(work)) {
        throw new TypeError("First argument to 'run_on_background' must be an async function");
      }
      check(this);
      const { user, db, flags } = credentials();
      const callback = callback_at_hand();
      const client = new AsyncClient(KEY, user, db, flags);
      return new Later((resolve, reject) => {
        begin(() => {
          set_current(user, db, flags, callback);
          try {
            resolve(work(client));
          } catch (error) {
            reject(error);
          }
        });
      });
    }
  }
  // A plain function that waited for a shard would hold the server up, and that shard may wait for this one.
  for (const name of ["run_on_key", "run_on_all_shards"]) {
    defineProperty(Client.prototype, name, {
      value: {
        [name]() {
          throw new Error(`'${name}' is for async code: use it in an async function, or in what 'run_on_background' is given`);
        },
      }[name],
      writable: true, configurable: true,
    });
  }
  freeze(Client.prototype);
  freeze(AsyncClient.prototype);

  const run_sync = (work) => {
    const client = new Client();
    open = client;
    try {
      return work(client);
    } finally {
      open = null;
    }
  };

  // --- what the engine calls -------------------------------------------------------------------

  // `client` is undefined for sync callbacks: each call of those gets one that ends with it.
  const call_with = (callback, client, data) => {
    if (client !== undefined) {
      open = null;
      return callback(client, data);
    }
    open = client = new Client();
    try {
      return callback(client, data);
    } finally {
      open = null;
    }
  };
  // A name and a value, or as one array any number of them.
  const call_consumer = (callback, client, ms, seq, text, name, packed, parts, value) => {
    let record;
    if (value !== undefined) {
      record = [[parts, value]];
    } else {
      record = [];
      for (let at = 0; at < parts.length; at += 2) record[at / 2] = [parts[at], parts[at + 1]];
    }
    return call_with(callback, client, new StreamRecord(ms, seq, text, name, record, packed));
  };
  // The entries lie one behind the other: ms, seq, packed, number of parts, parts.
  const call_batch = (callback, client, text, name, many) => {
    const records = [];
    let count = 0;
    for (let at = 0; at < many.length; ) {
      const end = at + 4 + many[at + 3];
      const record = [];
      for (let part = at + 4, pairs = 0; part < end; part += 2) record[pairs++] = [many[part], many[part + 1]];
      records[count++] = new StreamRecord(many[at], many[at + 1], text, name, record, many[at + 2]);
      at = end;
    }
    return call_with(callback, client, records);
  };
  const make_notification = (event, text, key, type, packed, parts) => {
    if (type === undefined) return new Notification(event, text, key);
    if (parts.length === 1 && typeof parts[0] === "object" && parts[0] !== null) parts = parts[0];
    return new ValueNotification(event, text, key, type, packed, parts);
  };
  const call_trigger = (callback, client, event, text, key, type, packed, ...parts) =>
    call_with(callback, client, make_notification(event, text, key, type, packed, parts));
  // What the function has made of it is kept for the callback.
  const call_pre_hook = (callback, client, event, text, key, type, packed, ...parts) => {
    const data = make_notification(event, text, key, type, packed, parts);
    call_with(callback, client, data);
    return data;
  };
  const apply_to = (callback, client, count, first, second, third) => {
    switch (count) {
      case 0:
        return callback(client);
      case 1:
        return callback(client, first);
      case 2:
        return callback(client, first, second);
      case 3:
        return callback(client, first, second, third);
      default:
        first[0] = client;
        return apply(callback, undefined, first);
    }
  };
  // More than three arguments come as one array, in which the first one keeps the client's place.
  const call_function = (callback, client, count, first, second, third) => {
    if (client !== undefined) {
      open = null;
      return apply_to(callback, client, count, first, second, third);
    }
    let result;
    open = client = new Client();
    try {
      result = apply_to(callback, client, count, first, second, third);
    } finally {
      open = null;
    }
    // Behind that: reading it may run code of the library.
    return result_of(result);
  };
  const run_task = (job) => {
    open = null;
    job();
  };
  const make_async_client = (user, db, flags) => new AsyncClient(KEY, user, db, flags);
  // After a run that was ended from outside: nothing of it cleaned up behind itself.
  const close = () => {
    open = null;
  };

  // --- what V8 settles by itself --------------------------------------------------------------------

  // A wait that ends at a time is settled by a task of V8's own. While there is one, the library is
  // looked after, also when nobody calls it any more.
  const { waitAsync } = Atomics;
  const { then } = Later.prototype;
  const ended = () => note_timer(false);
  const timed = {
    waitAsync(cell, index, value, timeout) {
      const ms = +timeout;
      const wait = apply(waitAsync, Atomics, [cell, index, value, ms]);
      if (wait.async && ms < Infinity) {
        note_timer(true);
        apply(then, wait.value, [ended, ended]);
      }
      return wait;
    },
  };
  defineProperty(Atomics, "waitAsync", {
    __proto__: null, value: timed.waitAsync, writable: true, enumerable: false, configurable: true,
  });

  // --- for code that is given no client -----------------------------------------------------------

  // The client of the code at hand: the open one, or what its async function was given.
  const is_locked = () => open !== null;
  const at_hand = () => {
    const carried = current();
    if (carried !== undefined) return new AsyncClient(KEY, carried.user, carried.db, carried.flags);
    throw new Error("'execute' can only be used while a callback runs");
  };
  const execute = (command) => {
    if (open !== null) return apply(call_either, undefined, command);
    return at_hand().block(() => apply(call_either, undefined, command));
  };
  const atomic = (work) => (open !== null ? work() : at_hand().block(work));

  // GearsBuilder and what belongs to it is made when it is first used, and never for most libraries.
  const gears = { __proto__: null };
  const define_global = (name, value) =>
    defineProperty(globalThis, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });
  for (const name of ["GearsBuilder", "GB", "execute", "atomic", "log", "hashtag", "gearsConfigGet", "configGet"]) {
    defineProperty(globalThis, name, {
      __proto__: null,
      enumerable: false,
      configurable: true,
      get() {
        if (gears.made === undefined) gears.made = make_gears();
        define_global(name, gears.made[name]);
        return gears.made[name];
      },
      set(value) {
        define_global(name, value);
      },
    });
  }

  return {
    allocate, call_consumer, call_batch, call_trigger, call_with, call_pre_hook, call_function, run_task,
    make_async_client, make_error, make_remote_error, cause_of, restore_error, tag, close, is_locked, execute, atomic,
  };
})
