// The operators of GearsBuilder as Python knows them: what a step is given and gives are Python's values, keys are
// texts, and what is false, equal or smaller is Python's business. They become steps of gears_flow.js.
(function ($B, values) {
  "use strict";
  const _b_ = $B.builtins;
  const { None } = _b_;
  const { dict_of, copy, str, is_bytes, of_argument } = values;

  // --- calls of Python -----------------------------------------------------------------------------

  // A coroutine runs when somebody waits for it. A future is waited for.
  const FUTURE = Symbol("future");
  const settled = (value) => {
    if (value === null) return value;
    if (value.ob_type === $B.coroutine) return $B.promise(value);
    return value[FUTURE] ?? value;
  };
  // Python keeps track of the functions it is in. Each call from outside begins with none, whatever was left by one
  // that was ended, or by one that waits.
  const outside = (work) => {
    const frames = $B.frame_obj;
    $B.frame_obj = null;
    try {
      return work();
    } finally {
      $B.frame_obj = frames;
    }
  };
  const plain_call = (f) => (typeof f === "function" ? f : (...args) => $B.$call(f, ...args));
  const unary = (given) => {
    const f = plain_call(given);
    return (record) => {
      const frames = $B.frame_obj;
      $B.frame_obj = null;
      try {
        const value = f(record);
        return typeof value === "object" ? settled(value) : value;
      } finally {
        $B.frame_obj = frames;
      }
    };
  };
  const call = (given) => {
    const f = plain_call(given);
    return (...args) =>
      outside(() => {
        const value = f(...args);
        return typeof value === "object" ? settled(value) : value;
      });
  };
  const then = (value, f) => (value instanceof Promise ? value.then((late) => outside(() => f(late))) : outside(() => f(value)));
  const is_callable = (f) => typeof f === "function" || (f !== null && f !== undefined && _b_.callable(f));

  const is_true = (value) => $B.$bool(value);
  const key_text = (key) => ($B.is_str(key) ? str(key) : _b_.repr(key));

  // --- the operators -------------------------------------------------------------------------------

  const make_operators = ({ step, move, to_owner, to_initiator, group, fold, operators }) => {
    const check = (operator, functions) => {
      for (const name of Object.keys(functions)) {
        if (is_callable(functions[name])) continue;
        $B.RAISE(_b_.TypeError, `Argument '${name}' of '${operator}' must be a function`);
      }
    };
    const pair = (key, value) => dict_of([["key", key], ["value", value]]);
    const keyed = (f) => {
      const extract = unary(f);
      return (record) => then(extract(record), key_text);
    };
    const reducing = (f) => {
      const reduce = call(f);
      return (key, gathered, record) => reduce(key, gathered ?? None, record);
    };
    const from_zero = (f, zero) => (...args) => {
      const at = args.length - 2;
      const gathered = args[at];
      const is_used = gathered !== undefined && gathered !== null && outside(() => is_true(gathered));
      if (!is_used) args[at] = outside(() => copy(zero));
      return f(...args);
    };
    const grouping = (name) => (extractor, reducer) => {
      check(name, { extractor, reducer });
      const key = keyed(extractor);
      const folded = group(key, reducing(reducer), null, { give: pair });
      return name === "groupby" ? [to_owner(key), folded] : [folded];
    };
    const gathers = (_, gathered, record) => {
      gathered ??= $B.$list([]);
      gathered.push(record);
      return gathered;
    };
    const gather = () => fold((gathered, record) => gathers("", gathered, record), null);
    // Given back one by one: a flatmap gives the last one first.
    const give_all = (f) => step("flatmap", (records) => outside(() => f(records)));
    const key_of_pair = (record) => field(record, "key");
    const field = (record, name) => outside(() => $B.$getitem(record, name));
    const add = (a, b) => $B.rich_op("__add__", a, b);

    return {
      __proto__: null,
      map(f) {
        check("map", { f });
        return [step("map", unary(f))];
      },
      filter(f) {
        check("filter", { f });
        const wanted = unary(f);
        return [step("filter", (record) => then(wanted(record), is_true))];
      },
      flatmap(f) {
        check("flatmap", { f });
        const give = unary(f);
        const in_list = (value) => ($B.get_class(value) === _b_.list ? value : [value]);
        return [step("flatmap", (record) => then(give(record), in_list))];
      },
      foreach(f) {
        check("foreach", { f });
        return [step("foreach", unary(f))];
      },
      limit: (length, start) => operators.limit(length, start === None ? 0 : start),
      accumulate(f) {
        check("accumulate", { f });
        const accumulate = call(f);
        return [fold((gathered, record) => accumulate(gathered ?? None, record), null)];
      },
      localgroupby: grouping("localgroupby"),
      groupby: grouping("groupby"),
      batchgroupby(extractor, reducer) {
        check("batchgroupby", { extractor, reducer });
        const reduce = call(reducer);
        const reduced = ({ key, value }) => then(reduce(key, value), (made) => pair(key, made));
        const key = keyed(extractor);
        return [to_owner(key), group(key, gathers, null, { backwards: true }), step("map", reduced)];
      },
      aggregate(zero, seqOp, combOp) {
        check("aggregate", { seqOp, combOp });
        return [fold(from_zero(call(seqOp), zero), null), to_initiator(), fold(from_zero(call(combOp), zero), null)];
      },
      aggregateby(extractor, zero, seqOp, combOp) {
        check("aggregateby", { extractor, seqOp, combOp });
        const combine = call(combOp);
        const combined = (key, gathered, record) => combine(key, gathered, field(record, "value"));
        return [
          group(keyed(extractor), from_zero(call(seqOp), zero), null, { give: pair }),
          move(key_of_pair),
          group(key_of_pair, from_zero(combined, zero), null, { give: pair }),
        ];
      },
      count: () => [
        fold((count) => (count ?? 0) + 1, null),
        to_initiator(),
        fold((count, more) => (count ?? 0) + more, null),
      ],
      countby(extractor) {
        if (extractor === None) extractor = (record) => record;
        check("countby", { extractor });
        const merged = (_, count, record) => (count ?? 0) + field(record, "value");
        return [
          group(keyed(extractor), (_, count) => (count ?? 0) + 1, null, { give: pair }),
          move(key_of_pair),
          group(key_of_pair, merged, null, { give: pair }),
        ];
      },
      sort(reverse) {
        const sorted = (records) => _b_.sorted(records, { $kw: [{ reverse }] });
        return [to_initiator(), gather(), give_all(sorted)];
      },
      distinct() {
        const different = (records) => {
          const seen = $B.empty_dict();
          for (const record of records) if (!_b_.dict.$contains(seen, record)) _b_.dict.$setitem(seen, record, record);
          return [..._b_.dict.$iter_items(seen)].map(({ key }) => key).reverse();
        };
        const steps = [gather(), give_all(different)];
        return [to_initiator(steps), ...steps];
      },
      avg(extractor) {
        if (extractor === None) extractor = (record) => $B.$call(_b_.float, record);
        check("avg", { extractor });
        const sum = (gathered, number, count) => $B.$list([add(gathered?.[0] ?? 0, number), (gathered?.[1] ?? 0) + count]);
        const mean = ([sum, count]) => $B.rich_op("__truediv__", sum, count);
        return [
          step("map", unary(extractor)),
          // Lists, which may be sent.
          fold((gathered, number) => outside(() => sum(gathered, number, 1)), null),
          to_initiator(),
          fold((gathered, [part, count]) => outside(() => sum(gathered, part, count)), null),
          step("map", (gathered) => outside(() => mean(gathered))),
        ];
      },
      collect: () => [to_initiator()],
      repartition(extractor) {
        check("repartition", { extractor });
        const extract = unary(extractor);
        // Only where a record goes depends on it, so bytes stay bytes: names of keys may be such.
        const place = (key) => (key !== null && is_bytes(key) ? of_argument(key) : key_text(key));
        return [move((record) => then(extract(record), place))];
      },
    };
  };

  return { make_operators, FUTURE, outside, call, is_callable };
})
