// How GearsBuilder processes records: the operators, as lists of steps, and the flow of records through
// them. It knows nothing of the server; see gears.js for the other parts.
//
// The same generator runs sync and async executions: where a step gives a promise, the flow yields it, and
// the driver decides whether it can be waited for. Records are taken one after the other, each as far as it
// gets, so that nothing is kept that no step has asked for; a plain step costs no more than its call.
(function () {
  "use strict";
  // Kept here, since the library may replace the globals.
  const { isArray } = Array;
  const { assign, entries, fromEntries, getPrototypeOf, keys } = Object;
  const { isInteger } = Number;
  const { stringify } = JSON;
  const Buffer = ArrayBuffer;
  const Bytes = Uint8Array;
  const Dictionary = Map;
  const Later = Promise;
  const Numeric = Number;
  const Text = String;
  const Unique = Set;

  // --- values --------------------------------------------------------------------------------

  // What JSON has no form for, and replies of commands are full of.
  const for_json = (_, value) => {
    if (typeof value === "bigint") return Text(value);
    if (value instanceof Buffer) return new Bytes(value);
    return value instanceof Unique || value instanceof Dictionary ? [...value] : value;
  };
  const is_data = (value) => typeof value === "object" && value !== null && !(value instanceof Text);
  // A key, and what `convertToStr` makes of a record.
  const text_of = (value) => {
    if (typeof value === "string") return value;
    return Text(is_data(value) ? stringify(value, for_json) : value);
  };
  const error_text = (error) => {
    try {
      return Text(error);
    } catch {
      return "an exception that has no text";
    }
  };
  // Of data; other objects, such as those of a class, are shared.
  const copy = (value) => {
    if (typeof value !== "object" || value === null) return value;
    if (isArray(value)) return value.map((element) => copy(element));
    if (value instanceof Unique) return new Unique(copy([...value]));
    if (value instanceof Dictionary) return new Dictionary(copy([...value]));
    const prototype = getPrototypeOf(value);
    const is_plain = prototype === null || prototype === getPrototypeOf({});
    return is_plain ? fromEntries(copy(entries(value))) : value;
  };
  const number_of = (value) => {
    const number = value === null || value === "" ? NaN : Numeric(value);
    if (number !== number) throw new TypeError(`avg: ${text_of(value)} is not a number`);
    return number;
  };
  const is_text = (value) => typeof value === "string" || value instanceof Text;
  // As Python does: lists element by element, and nothing of different kinds.
  const compare = (a, b) => {
    if (isArray(a) && isArray(b)) {
      for (let at = 0; at < a.length && at < b.length; at++) {
        const order = compare(a[at], b[at]);
        if (order !== 0) return order;
      }
      return a.length - b.length;
    }
    if (a == null || b == null || is_data(a) || is_data(b) || is_text(a) !== is_text(b)) {
      throw new TypeError("sort: records must be all numbers, all strings, or all arrays of such");
    }
    return a < b ? -1 : a > b ? 1 : 0;
  };

  // --- steps ---------------------------------------------------------------------------------

  // All have the same members: the flow looks at them for every record.
  const step = (kind, f, more) =>
    assign({ kind, f, key: undefined, zero: null, give: undefined, backwards: false, start: 0, end: 0 }, more);
  // Where records change their shard: to the one that has the slot of their key, or without `key` to the one
  // where the execution began. `wraps`: the step behind it has the same key. `before`: steps that make less of
  // the records first. An execution on one shard has none of this: see gears_shards.js.
  const move = (key, more) => step("move", undefined, { key, wraps: false, before: [], ...more });
  const to_owner = (key) => move(key, { wraps: true });
  const to_initiator = (before = []) => move(undefined, { before });
  // The steps of an execution that stays where it is.
  const local = (steps) => steps.filter(({ kind }) => kind !== "move");
  // Gathers a value for each key, and gives them when nothing more comes.
  const group = (key, f, zero, more) =>
    step("gather", f, { key, zero, give: (key, value) => ({ key, value }), ...more });
  // The same with one key, which nobody gets to see.
  const fold = (f, zero) =>
    group(() => "", (_, gathered, record) => f(gathered, record), zero, { give: (_, value) => value });
  const list = (gathered, record) => {
    gathered.push(record);
    return gathered;
  };
  const identity = (record) => record;

  // A generator function would do nothing when it is called.
  const is_function = (f) => typeof f === "function" && getPrototypeOf(f) !== getPrototypeOf(function* () {});
  const check = (operator, functions) => {
    for (const name of keys(functions)) {
      if (is_function(functions[name])) continue;
      throw new TypeError(`Argument '${name}' of '${operator}' must be a function`);
    }
  };
  const plain = (kind) => (f) => {
    check(kind, { f });
    return [step(kind, f)];
  };
  const grouping = (operator) => (extractor, reducer) => {
    check(operator, { extractor, reducer });
    const folded = group(extractor, reducer, null);
    return operator === "groupby" ? [to_owner(extractor), folded] : [folded];
  };
  const aggregateby = (extractor, zero, seqOp, combOp) => {
    check("aggregateby", { extractor, seqOp, combOp });
    const combine = (key, gathered, { value }) => combOp(key, gathered, value);
    return [group(extractor, seqOp, zero), move(key_of_pair), group(key_of_pair, combine, zero)];
  };
  const key_of_pair = ({ key }) => key;

  // What each operator is made of.
  const operators = {
    __proto__: null,
    map: plain("map"),
    filter: plain("filter"),
    flatmap: plain("flatmap"),
    foreach: plain("foreach"),
    limit(length, start = 0) {
      const is_count = (value) => isInteger(value) && value >= 0;
      if (!is_count(length)) throw new TypeError("Argument 'length' of 'limit' must be a whole number, not negative");
      if (!is_count(start)) throw new TypeError("Argument 'start' of 'limit' must be a whole number, not negative");
      return [step("limit", undefined, { start, end: start + length })];
    },
    accumulate(accumulator) {
      check("accumulate", { accumulator });
      return [fold(accumulator, null)];
    },
    localgroupby: grouping("localgroupby"),
    groupby: grouping("groupby"),
    batchgroupby(extractor, reducer) {
      check("batchgroupby", { extractor, reducer });
      const reduce = ({ key, value }) => {
        const reduced = reducer(key, value);
        if (reduced instanceof Later) return reduced.then((value) => ({ key, value }));
        return { key, value: reduced };
      };
      const gather = (_, gathered, record) => list(gathered, record);
      return [to_owner(extractor), group(extractor, gather, [], { backwards: true }), step("map", reduce)];
    },
    aggregate(zero, seqOp, combOp) {
      check("aggregate", { seqOp, combOp });
      return [fold(seqOp, zero), to_initiator(), fold(combOp, zero)];
    },
    aggregateby,
    count: () => [fold((count) => count + 1, 0), to_initiator(), fold((count, more) => count + more, 0)],
    countby(extractor = identity) {
      check("countby", { extractor });
      const add = (_, count, { value }) => count + value;
      return [group(extractor, (_, count) => count + 1, 0), move(key_of_pair), group(key_of_pair, add, 0)];
    },
    // By default in ascending order: RedisGears 1 sorts in reverse, and so does its flatmap.
    sort(reverse = true) {
      const ascending = typeof reverse === "object" && reverse !== null ? reverse.reverse ?? true : reverse;
      if (typeof ascending !== "boolean") throw new TypeError("Argument 'reverse' of 'sort' must be a boolean");
      const in_order = ascending ? compare : (a, b) => compare(b, a);
      return [to_initiator(), fold(list, []), step("flatmap", (records) => records.sort(in_order).reverse())];
    },
    distinct() {
      // Objects are the same if their JSON is; none of these is the same as a string.
      const key_of = (record) => (is_data(record) ? `o${text_of(record)}` : is_text(record) ? `s${record}` : record);
      const add = (found, record) => {
        const key = key_of(record);
        return found.has(key) ? found : found.set(key, record);
      };
      const steps = [fold(add, new Dictionary()), step("flatmap", (found) => [...found.values()].reverse())];
      return [to_initiator(steps), ...steps];
    },
    avg(extractor = identity) {
      check("avg", { extractor });
      const add = ([sum, count], number) => [sum + number, count + 1];
      const merge = ([sum, count], part) => [sum + part[0], count + part[1]];
      const mean = ([sum, count]) => sum / count;
      return [
        ...[step("map", extractor), step("map", number_of), fold(add, [0, 0])],
        ...[to_initiator(), fold(merge, [0, 0]), step("map", mean)],
      ];
    },
    collect: () => [to_initiator()],
    repartition(extractor) {
      check("repartition", { extractor });
      return [move(extractor)];
    },
  };

  // --- the flow ------------------------------------------------------------------------------

  // Records between two pauses of an execution.
  const PAUSE = 100;

  // One execution. `input` are its first records, `more` is called for further ones until it gives
  // undefined; where it is there, null is yielded before each call and now and then, for a pause.
  //
  // A step that throws makes an error of its record. From then on nothing is read, unless it `continues`; what
  // was gathered, and what a flatmap has not given yet, goes on in any case.
  function* flow(steps, input, more, errors, results, continues) {
    const states = []; // what a step keeps: its groups, or how many records it has seen
    const waiting = []; // records that are read, each before the place of the step it comes to
    let taken = 0; // records of the input
    let is_read = false; // whether there is no more of it
    let ended = 0; // steps that have given what they gathered
    let closed = 0; // steps up to a limit that has all it wants
    let passed = 0;
    for (;;) {
      if (more !== undefined && ++passed % PAUSE === 0) yield null;
      let record;
      let at = 0;
      if (waiting.length > 0) {
        at = waiting.pop();
        record = waiting.pop();
        if (at < closed) continue;
      } else if (!is_read) {
        if (closed > 0 || (errors.length > 0 && !continues)) {
          is_read = true;
          continue;
        }
        if (taken === input.length) {
          if (more !== undefined) yield null;
          try {
            input = more?.();
            taken = 0;
            is_read = input === undefined;
          } catch (error) {
            errors.push(error);
          }
          continue;
        }
        record = input[taken++];
      } else {
        if (ended < closed) ended = closed;
        if (ended === steps.length) return;
        const { kind, give, backwards } = steps[ended];
        const groups = states[ended];
        states[ended++] = undefined;
        if (kind !== "gather" || groups === undefined) continue;
        const reduced = [];
        for (const [key, value] of groups) reduced.push(give(key, value));
        // The last one that waits is the next.
        if (!backwards) reduced.reverse();
        for (let place = 0; place < reduced.length; place++) waiting.push(reduced[place], ended);
        continue;
      }

      let key;
      try {
        for (; at < steps.length; at++) {
          const step = steps[at];
          const { kind } = step;
          if (kind === "limit") {
            const seen = (states[at] ?? 0) + 1;
            states[at] = seen;
            if (seen >= step.end) closed = at + 1;
            if (seen <= step.start || seen > step.end) break;
            continue;
          }
          if (kind === "gather") {
            let found = step.key(record);
            if (found instanceof Later) found = yield found;
            key = text_of(found);
            const groups = (states[at] ??= new Dictionary());
            let gathered = step.f(key, groups.get(key) ?? copy(step.zero), record);
            if (gathered instanceof Later) gathered = yield gathered;
            groups.set(key, gathered);
            break;
          }
          let value = step.f(record);
          if (value instanceof Later) value = yield value;
          if (kind === "map") {
            record = value;
          } else if (kind === "filter") {
            if (!value) break;
          } else if (kind === "flatmap") {
            if (!isArray(value)) {
              record = value;
              continue;
            }
            // Taken from the end, so in reverse order.
            for (let place = 0; place < value.length; place++) waiting.push(value[place], at + 1);
            break;
          }
        }
        if (at === steps.length && results !== undefined) results.push(record);
      } catch (error) {
        errors.push(error);
        // What failed was gathering for this key: that is lost.
        if (key !== undefined) states[at].delete(key);
      }
    }
  }

  const drive_now = (flow) => {
    let yielded = flow.next();
    while (!yielded.done) {
      yielded = flow.throw(new Error("a step returned a promise, which mode 'sync' cannot wait for"));
    }
  };
  // `check` is called after each wait; what it throws ends the execution.
  const drive = async (flow, check) => {
    let yielded = flow.next();
    while (!yielded.done) {
      let value;
      let failed = false;
      try {
        value = await yielded.value;
      } catch (error) {
        value = error;
        failed = true;
      }
      check?.();
      yielded = failed ? flow.throw(value) : flow.next(value);
    }
  };
  return {
    step, move, to_owner, to_initiator, local, group, fold, operators, flow, drive_now, drive, text_of, error_text, is_function,
  };
})
