// GearsBuilder and the functions beside it, as RedisGears 1 has them, on top of what the `redis` object can.
//
// It is evaluated once for a library, when that first names one of these globals, so that the others do not
// pay for it. It keeps nothing of the server's: a registration is a stream consumer or a notification
// consumer like any other, whose callback has records flow through the steps, and a run is an async
// function, whose steps run without the server's lock.
//
//   gears.js             the builder: plans, registrations, runs
//   gears_readers.js     where records come from
//   gears_flow.js        operators, and how records are processed
//   gears_shards.js      how an execution goes over the shards of a cluster
//   gears_cluster.js     what it needs of the cluster for that
//   gears_functions.js   the functions beside the builder
//
// What records, operators and errors are is a matter of the library's language: `of_language` has what is not
// JavaScript's way.
(function (native, processing, of_language, make_readers, make_shards, make_cluster, make_functions) {
  "use strict";
  const { step, local, flow, drive_now, drive } = processing;
  const { atomic: lock, is_async_function, is_locked } = native;
  // Kept here, since the library may replace the globals.
  const { create, defineProperty, keys } = Object;
  const { stringify } = JSON;
  const Later = Promise;
  const Text = String;
  const slice = Function.prototype.call.bind(String.prototype.slice);
  const first = (text, length) => slice(text, 0, length);

  // Characters of a shard's ID.
  const SHARD_ID = 40;

  // --- the language --------------------------------------------------------------------------

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
  const dialect = { ...javascript, ...of_language };
  const { operators, text_of, error_text, is_function, reply_of, outcome_of, raise, hook: make_plain_hook } = dialect;

  const readers = make_readers(native, dialect);
  const { READERS, ALONE, policy_of } = readers;
  const shards = make_shards({ ...processing, error_text });
  const { ABORTED, Told, text_of_error, is_move } = shards;
  const { remember, run_on_shards, follow_on_shards } = make_cluster(native, processing, shards, readers, dialect);

  // --- arguments -----------------------------------------------------------------------------

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
        if (errors[0] instanceof Told) throw errors[0];
        if (errors.length > 0) raise(errors[0]);
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
      if (!this.#is_late) this.#number = remember(() => this.#steps);
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
      if (typeof pattern !== "string") throw new TypeError("Argument 'prefix' of 'register' must be a string");
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
      if (typeof argument !== "string") throw new TypeError("Argument 'arg' of 'run' must be a string");
      const reader = this.#reader;
      const converts = options.convertToStr ?? false;
      const is_shared = native.is_in_cluster() && options.mode !== "async_local";
      if (is_shared && this.#is_late) {
        throw new Error("'run' over all shards needs steps that all shards have: make the GearsBuilder at the top level of the library, with all of its steps, or run it with mode 'async_local'");
      }
      const steps = local(this.#steps);
      const plan = [...this.#plan];
      if (converts) {
        steps.push(step("map", text_of));
        plan.push(["map", "String", ""]);
      }
      const described = stringify({ reader, arg: argument, steps: plan });
      const shared = is_shared
        ? { number: this.#number, length: this.#steps.length, is_run: true, converts, described }
        : undefined;
      const execution = async (id) => {
        const errors = [];
        let results = [];
        const check = () => {
          if (native.execution_is_aborted(id)) throw new Error(ABORTED);
        };
        try {
          if (shared !== undefined) {
            results = await run_on_shards(shared, { reader, argument, options }, id, errors, check);
          } else {
            // The ID of an execution begins with that of its shard.
            const me = native.is_in_cluster() ? first(id, SHARD_ID) : ALONE.me;
            const next = read(argument, options, { __proto__: null, me, owns: ALONE.owns });
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

  return { GearsBuilder, GB: GearsBuilder, ...make_functions(native, text_of) };
})
