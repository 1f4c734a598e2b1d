// Python libraries: they are translated by Brython, whose global `__BRYTHON__` is there, and see what gears.py
// defines. Gives the function that compiles one.
(function (native, values, steps, make_atomic, surface) {
  "use strict";
  const $B = __BRYTHON__;
  const _b_ = $B.builtins;
  const { None } = _b_;
  const { of_reply, of_argument, str, dict_of } = values;
  const { FUTURE, outside, call, is_callable, make_operators } = steps;
  const { is_async_function } = native;
  const { isArray } = Array;
  const { waitAsync } = Atomics;
  const Text = String;
  const Failure = Error;

  // Of code that is made of a text, as guards.rs bounds it.
  const CODE_MAX = 2 ** 21;

  // --- modules -------------------------------------------------------------------------------------

  // What libraries are refused, and why.
  const REFUSED = {
    __proto__: null,
    threading: "libraries have no threads", _thread: "libraries have no threads", multiprocessing: "libraries have no processes",
    subprocess: "libraries have no processes", socket: "libraries have no sockets", _socket: "libraries have no sockets",
    asyncio: "there is no loop to run; steps and gearsFuture are awaited without it",
    ssl: "libraries have no sockets", select: "libraries have no sockets", selectors: "libraries have no sockets",
    browser: "there is no browser", interpreter: "there is no browser", _ajax: "there is no browser",
    javascript: "libraries see Python alone",
  };
  // Those of the standard library are installed beside the module, translated, and are run when they are imported.
  const FILES = "VFS.";
  const Finder = $B.make_type("finder");
  const Loader = $B.make_type("loader");
  const loader = { ob_type: Loader };
  Finder.tp_funcs = {
    find_spec(_, name) {
      const found = native.module(name);
      if (found === undefined) return None;
      const is_package = found[1];
      return $B.ModuleSpec.$factory({
        name, loader, origin: "redisgears", cached: None, has_location: false,
        submodule_search_locations: is_package ? $B.$list([]) : None,
        loader_state: None,
        parent: is_package ? name : name.split(".").slice(0, -1).join("."),
      });
    },
  };
  Finder.tp_methods = ["find_spec"];
  Loader.tp_funcs = {
    create_module: () => None,
    exec_module(_, module) {
      const name = $B.module_getattr(module, "__name__");
      const [kind, is_package] = native.module(name);
      const file = `${FILES}${name}${is_package ? "/__init__.py" : kind}`;
      module.$is_package = is_package;
      $B.module_setattr(module, "__file__", file);
      $B.url2name[file] = name;
      if (kind === ".js") {
        native.run_module(name);
        // Makes a module of what the script has put among those that are imported.
        $B.run_js("", file, module);
        return None;
      }
      const names = native.importing(() => native.run_module(name)());
      for (const key of Object.keys(names)) $B.module_setattr(module, key, names[key]);
      if (name === "time") $B.module_setattr(module, "sleep", sleep);
      $B.module_setattr(module, "__initializing__", false);
      return None;
    },
  };
  Loader.tp_methods = ["create_module", "exec_module"];
  for (const type of [Finder, Loader]) {
    $B.set_func_names(type, "importlib");
    $B.finalize_type(type);
  }
  $B.init_dict(loader);
  const finder = { ob_type: Finder };
  $B.init_dict(finder);
  $B.stdlib_module_names = [];
  $B.make_import_paths = (filename) => {
    $B.import_info[filename] = { meta_path: [finder], path_hooks: [], path: [] };
  };
  const import_any = $B.$__import__;
  $B.$__import__ = (name, ...more) => {
    const importer = $B.frame_obj?.frame.__file__ ?? "";
    const reason = REFUSED[name.split(".")[0]];
    if (reason !== undefined && !importer.startsWith(FILES)) {
      const refused = $B.EXC(_b_.ImportError, `module '${name}' cannot be used: ${reason}`);
      refused.$suggestion = None;
      throw refused;
    }
    try {
      return import_any(name, ...more);
    } catch (error) {
      const missing = error.ob_type === _b_.ModuleNotFoundError ? error.args[0] : undefined;
      if (missing === name || name.startsWith(`${missing}.`)) {
        error.args = $B.fast_tuple([`No module named '${missing}'`]);
        error.$suggestion = None;
      }
      throw error;
    }
  };
  const add_module = (name, contents) => {
    const module = $B.module.$factory(name);
    for (const key of Object.keys(contents)) $B.module_setattr(module, key, contents[key]);
    $B.imported[name] = module;
    return module;
  };

  // What would be asked of the machine.
  const refuse = (what, type, reason) => () => $B.RAISE(type, `${what} cannot be used: ${reason}`);
  _b_.open = refuse("open", _b_.OSError, "libraries have no files");
  _b_.input = refuse("input", _b_.EOFError, "libraries have no terminal");
  for (const name of ["open", "input"]) {
    _b_[name].ob_type = $B.builtin_function_or_method;
    _b_[name].$function_infos = ["builtins", name, name];
  }
  const sleep = refuse("time.sleep", _b_.RuntimeError, "it would hold up the server, or all else that the library does");

  // --- errors --------------------------------------------------------------------------------------

  const is_too_deep = (error) => error instanceof RangeError && Text(error.message).includes("call stack");
  // A line of the script may be of any length, and there may be any number of them: what matters are both ends.
  const LINE_SHOWN = 160;
  const TEXT_SHOWN = 3500;
  const shortened = (text) => {
    const lines = text.split("\n").map((line, at, all) =>
      line.length > LINE_SHOWN && at < all.length - 1 ? `${line.slice(0, LINE_SHOWN)}...` : line);
    const short = lines.join("\n");
    if (short.length <= TEXT_SHOWN) return short;
    const last = lines.at(-1).slice(0, TEXT_SHOWN / 2);
    return `${short.slice(0, TEXT_SHOWN / 2)}\n...\n${last}`;
  };
  // Where Brython cannot tell of an error, or has trouble with it.
  const plainly = (error) => {
    try {
      if (error?.ob_type === undefined) return Text(error);
      const [message, place] = error.args ?? [];
      const line = isArray(place) ? ` (line ${place[1]})` : "";
      return `${$B.class_name(error)}: ${typeof message === "string" ? message : _b_.str.$factory(error)}${line}`;
    } catch {
      return "an exception that has no text";
    }
  };
  const traceback = (error) => {
    if (is_too_deep(error)) return "RecursionError: maximum recursion depth exceeded";
    try {
      if (error?.ob_type === flat_class && flat_class !== undefined) return shortened(outside(() => str(error)));
      const text = outside(() => $B.error_trace($B.exception(error)));
      // Brython suggests what it has not found.
      return shortened(text.replace(". Did you mean: 'undefined'?", "").trimStart());
    } catch {
      return shortened(plainly(error));
    }
  };
  // As the engine tells it: the text, and no stack of JavaScript.
  class PythonError extends Failure {
    toString() {
      return this.message;
    }
  }
  const to_error = (error) => {
    const made = new PythonError(traceback(error));
    made.stack = "";
    return made;
  };
  const rethrow = (error) => {
    throw to_error(error);
  };
  const rethrow_plainly = (error) => {
    throw error;
  };
  let error_class = _b_.Exception;
  let flat_class;
  // What the module's own JavaScript throws is an error of Python's where Python can see it.
  const fail = (error) => {
    if (error?.ob_type !== undefined) throw error;
    if (is_too_deep(error)) throw $B.$call(_b_.RecursionError, "maximum recursion depth exceeded");
    const type = error instanceof TypeError ? _b_.TypeError : error_class;
    throw $B.$call(type, Text(error?.message ?? error));
  };
  const guarded = (work) => {
    const frames = $B.frame_obj;
    try {
      return work();
    } catch (error) {
      $B.frame_obj = frames;
      return fail(error);
    } finally {
      // A thread may have come while this one waited for the server.
      $B.frame_obj = frames;
    }
  };

  const atomic = make_atomic($B, native, (error) => guarded(() => rethrow_plainly(error)));

  // --- the log -------------------------------------------------------------------------------------

  const LINE_MAX = 64 * 1024;
  const make_output = (level) => {
    const Output = $B.make_type("output");
    let line = "";
    const write = (_, text) => {
      const lines = (line + str(text)).split("\n");
      line = lines.pop();
      if (line.length > LINE_MAX) {
        lines.push(line);
        line = "";
      }
      for (const one of lines) native.redis_log(one, level);
      return str(text).length;
    };
    Output.tp_funcs = { write, flush: () => None };
    Output.tp_methods = ["write", "flush"];
    $B.set_func_names(Output, "sys");
    $B.finalize_type(Output);
    const output = { ob_type: Output };
    $B.init_dict(output);
    return output;
  };
  $B.module_setattr($B.imported._sys, "stdout", make_output("notice"));
  $B.module_setattr($B.imported._sys, "stderr", make_output("warning"));

  // --- GearsBuilder --------------------------------------------------------------------------------

  const dialect = (processing) => ({
    operators: make_operators(processing),
    text_of: (value) => (typeof value === "string" ? value : outside(() => str(value))),
    error_text: traceback,
    is_function: is_callable,
    entry: values.entry,
    event: values.event,
    valued_event: values.valued_event,
    name: values.text_or_bytes,
    reply_of: (results) => outside(() => results.map(values.to_reply)),
    outcome_of: ([results, errors]) => $B.$list([$B.$list([...results]), $B.$list([...errors])]),
    raise: rethrow,
    to_data: (record) => outside(() => values.to_data(record)),
    of_data: (data) => outside(() => values.of_data(data)),
    hook: (f) => {
      const called = call(f);
      const run = () => {
        try {
          return called();
        } catch (error) {
          return rethrow(error);
        }
      };
      return f.$is_async ? async () => { await run(); } : run;
    },
  });
  const gears = { __proto__: null };
  const builder = () => (gears.made ??= native.make_gears(dialect));

  // Names of what is given by position, behind the prefix, as each release has them.
  const BY_POSITION = {
    __proto__: null,
    KeysReader: ["mode", "eventTypes", "keyTypes", "OnRegistered"],
    StreamReader: ["mode", "batch", "duration", "onRegistered", "onFailedPolicy", "onFailedRetryInterval"],
    nested: ["convertToStr", "collect"],
  };
  const LISTS = ["eventTypes", "keyTypes"];
  const to_option = (name, value) => {
    if (value === None) return undefined;
    if (LISTS.includes(name) && !$B.is_str(value)) return [...$B.make_js_iterator(value)].map(str);
    const type = $B.get_class(value);
    if (type === _b_.float) return value.value;
    return $B.is_str(value) ? str(value) : value;
  };
  const to_options = (kwargs) => {
    const options = {};
    for (const { key, value } of _b_.dict.$iter_items(kwargs)) options[key] = to_option(key, value);
    return options;
  };
  const take = (operator, args, names, kwargs) => {
    if (args.length > names.length) {
      $B.RAISE(_b_.TypeError, `${operator}() takes at most ${names.length} arguments by position, ${args.length} were given`);
    }
    const options = to_options(kwargs);
    args.forEach((value, at) => {
      const name = names[at];
      if (name in options) $B.RAISE(_b_.TypeError, `${operator}() got multiple values for argument '${name}'`);
      options[name] = to_option(name, value);
    });
    return options;
  };

  // Called for every record, so it is JavaScript as a whole.
  const execute = (...words) => {
    if (words.length === 0 || !$B.is_str(words[0])) {
      $B.RAISE(_b_.TypeError, "the first argument of execute must be a string");
    }
    const frames = $B.frame_obj;
    try {
      words[0] = str(words[0]);
      for (let at = 1; at < words.length; at++) words[at] = of_argument(words[at]);
      return of_reply(native.execute(words));
    } catch (error) {
      $B.frame_obj = frames;
      return fail(error);
    } finally {
      // A thread may have come while this one waited for the server.
      $B.frame_obj = frames;
    }
  };
  execute.ob_type = $B.builtin_function_or_method;
  execute.$function_infos = ["redisgears", "execute", "execute"];

  const NO_READERS = {
    __proto__: null,
    CommandReader: "scripts cannot stand in front of commands; functions of libraries in JavaScript are called with RG.FCALL",
    PythonReader: "it may read without an end; a run may begin with any other reader, and give what it likes with flatmap",
  };
  const functions = {
    plan: (reader, argument, description) =>
      guarded(() => {
        const reason = NO_READERS[str(reader)];
        if (reason !== undefined) $B.RAISE(_b_.NotImplementedError, `${str(reader)} is not there: ${reason}`);
        const { GearsBuilder } = builder();
        const plan = { ob_type: Plan, reader: to_option("", reader) };
        plan.builder = new GearsBuilder(plan.reader, to_option("", argument), to_option("", description));
        return plan;
      }),
    step: (plan, name, args) => guarded(() => (plan.builder[name](...args), None)),
    run: (plan, args, kwargs) =>
      guarded(() => {
        const options = take("run", args, ["arg", "convertToStr", "collect"], kwargs);
        const argument = options.arg;
        delete options.arg;
        const promise = plan.builder.run(argument, { convertToStr: true, ...options });
        return native.is_loading() ? None : awaitable(promise);
      }),
    register: (plan, args, kwargs) =>
      guarded(() => {
        const names = typeof args[1] === "boolean" ? BY_POSITION.nested : BY_POSITION[plan.reader] ?? [];
        const options = take("register", args, ["regex", ...names], kwargs);
        plan.builder.register(undefined, options);
        return None;
      }),
    execute,
    log: (message, level) => {
      if (!$B.is_str(message)) $B.RAISE(_b_.TypeError, "the first argument of log must be a string");
      return guarded(() => (builder().log(str(message), str(level)), None));
    },
    hashtag: () => guarded(() => builder().hashtag()),
    config_get: (key, missing) => guarded(() => builder().gearsConfigGet(key, null) ?? missing),
    set_errors(type, flat) {
      error_class = type;
      flat_class = flat;
      return None;
    },
    enter_atomic: () => (atomic.enter(), None),
    leave_atomic: () => (atomic.leave(), None),
    is_in_atomic: () => atomic.is_inside(),
    future: () => make_future(),
    may_wait: () => !native.is_locked(),
    pause: (seconds) => awaitable(pause($B.get_class(seconds) === _b_.float ? seconds.value : Number(seconds))),
    // Whatever becomes of it, it says itself.
    start: (coroutine) => ($B.promise(coroutine).catch(() => {}), None),
  };
  const Plan = $B.make_type("plan");
  $B.set_func_names(Plan, "_gears");
  $B.finalize_type(Plan);
  const Awaitable = $B.make_type("future");
  $B.set_func_names(Awaitable, "_gears");
  $B.finalize_type(Awaitable);
  const awaitable = (promise) => ({ ob_type: Awaitable, [FUTURE]: promise, then: (...args) => promise.then(...args) });

  // --- what a step waits for -----------------------------------------------------------------------

  const pause = (seconds) => {
    const nobody = new Int32Array(new SharedArrayBuffer(4));
    return waitAsync(nobody, 0, 0, seconds * 1000).value;
  };
  // One that nobody has any more would never be settled.
  const forgotten = new FinalizationRegistry((reject) =>
    outside(() => reject($B.$call(error_class, "the future was dropped before it was continued"))));
  const Future = $B.make_type("GearsFuture");
  const continued = (future, how) => {
    if (future.settle === undefined) throw $B.$call(error_class, "the future was continued before");
    const settle = future.settle[how];
    future.settle = undefined;
    forgotten.unregister(future);
    return settle;
  };
  Future.tp_funcs = {
    continueRun: (future, value) => (continued(future, 0)(value), None),
    continueFailed(future, error) {
      const is_error = $B.$isinstance(error, _b_.BaseException);
      continued(future, 1)(is_error ? error : $B.$call(error_class, str(error)));
      return None;
    },
  };
  Future.tp_methods = ["continueRun", "continueFailed"];
  $B.set_func_names(Future, "redisgears");
  $B.finalize_type(Future);
  const make_future = () => {
    let settle;
    const promise = new Promise((...both) => (settle = both));
    const future = { ob_type: Future, [FUTURE]: promise, settle, then: (...args) => promise.then(...args) };
    $B.init_dict(future);
    forgotten.register(future, settle[1], future);
    return future;
  };

  add_module("_gears", functions);

  // --- libraries -----------------------------------------------------------------------------------

  const translate = (code, name, file) => {
    $B.url2name[file] = name;
    $B.make_import_paths(file);
    $B.imported[name] = $B.module.$factory(name);
    return `${$B.py2js({ src: code, filename: file }, name, name, $B.builtins_scope).to_js()}\nreturn locals`;
  };

  const define_surface = () => {
    const name = "redisgears";
    const file = "redisgears.py";
    let run = native.translated();
    if (run === undefined) {
      run = native.translated(`(function () {\n${translate(surface, name, file)}\n})`);
    } else {
      $B.url2name[file] = name;
      $B.imported[name] = $B.module.$factory(name);
    }
    const names = run();
    const shown = [
      "GearsBuilder", "GB", "execute", "atomic", "log", "hashtag", "gearsConfigGet", "configGet", "gearsFuture", "createFuture",
      "flat_error", "registerTE", "override_reply", "get_command", "call_next", "setFutureResults", "setFutureException", "runCoroutine", "isAsyncAllow", "isInAtomicBlock",
    ];
    for (const name of shown) _b_[name] = names[name];
    const { execute, atomic, log, hashtag, gearsConfigGet, gearsFuture, isInAtomicBlock, error } = names;
    add_module("redisgears", {
      executeCommand: execute, atomicCtx: atomic, log, getMyHashTag: hashtag, config_get: gearsConfigGet, gearsFuture,
      isInAtomicBlock, error,
    });
  };

  outside(define_surface);

  // Translates a library; what it gives runs it.
  const compile = (code, library) => {
    try {
      return outside(() => {
        $B.file_cache[library] = code;
        const translated = translate(code, "__main__", library);
        if (translated.length > CODE_MAX) {
          $B.RAISE(_b_.MemoryError, `the script is too large: translated it has ${translated.length} characters, of ${CODE_MAX} at most`);
        }
        const run = new Function(translated);
        return () => {
          try {
            outside(run);
          } catch (error) {
            rethrow(error);
          }
        };
      });
    } catch (error) {
      return rethrow(error);
    }
  };
  return compile;
})
