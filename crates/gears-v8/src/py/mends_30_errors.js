// Exceptions: what they show, what is raised inside generators, and operators that are not there.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;
    const NONE = _b_.None;

    // Without a message an exception has no arguments, not an empty one.
    $B.RAISE = function (type, message) {
        throw message === undefined ? $B.$call(type) : $B.$call(type, message);
    };
    $B.assert = function (test, message, inum) {
        if (!$B.$bool(test)) {
            $B.set_inum(inum);
            throw message === undefined || message === "" ? $B.$call(_b_.AssertionError) : $B.$call(_b_.AssertionError, message);
        }
    };

    function show(self) {
        const { args } = self;
        switch (args.length) {
            case 0:
                return "";
            case 1:
                return _b_.str.$factory(args[0]);
            default:
                return _b_.repr($B.fast_tuple(Array.from(args)));
        }
    }
    function represent(self) {
        return `${$B.class_name(self).replace(/^.*\./, "")}(${Array.from(self.args, (arg) => _b_.repr(arg)).join(", ")})`;
    }
    $B.mend.slots(_b_.BaseException, { tp_str: show, tp_repr: represent });
    for (const type of [_b_.AttributeError, _b_.UnboundLocalError]) {
        $B.mend.slots(type, { tp_repr: represent });
    }
    $B.mend.slots(_b_.KeyError, { tp_str: (self) => (self.args.length === 1 ? _b_.repr(self.args[0]) : show(self)) });

    // Errors of the operating system: a number, a text, and perhaps a file.
    $B.mend.slots(_b_.OSError, {
        tp_init() {
            const { self, args } = $B.args("OSError", 1, { self: null }, arguments, null, "args", "kw");
            _b_.BaseException.tp_init(self, ...args);
            const given = args.length >= 2 && args.length <= 5 ? args : [];
            for (const [at, name] of ["errno", "strerror", "filename"].entries()) {
                $B.set_to_dict(self, name, given[at] ?? NONE);
            }
            if (given.length > 2) {
                self.args = $B.fast_tuple(given.slice(0, 2));
            }
            return NONE;
        },
        tp_str(self) {
            const of = (name) => $B.get_from_dict(self, name, NONE);
            if (of("errno") === NONE && of("strerror") === NONE) {
                return show(self);
            }
            const text = `[Errno ${_b_.str.$factory(of("errno"))}] ${_b_.str.$factory(of("strerror"))}`;
            return of("filename") === NONE ? text : `${text}: ${_b_.repr(of("filename"))}`;
        },
    });

    // StopIteration that leaves a generator would look like its end.
    const { send, throw: throw_into } = $B.generator.tp_funcs;
    const is_stop = (error) => error?.ob_type !== undefined && $B.is_exc(error, _b_.StopIteration);
    const GeneratorReturn = $B.generator_return(NONE).ob_type;
    function resume(self, step) {
        const generator = self.js_gen;
        if (generator.gi_running === true) {
            $B.RAISE(_b_.ValueError, "generator already executing");
        }
        const saved = $B.frame_obj;
        generator.gi_running = true;
        generator.$has_run = true;
        if (self.$frame) {
            $B.frame_obj = $B.push_frame(self.$frame);
        }
        let result;
        try {
            result = step(generator);
        } catch (error) {
            generator.$finished = true;
            if (is_stop(error)) {
                const wrong = $B.$call(_b_.RuntimeError, "generator raised StopIteration");
                wrong.__cause__ = error;
                wrong.__context__ = error;
                wrong.suppress_context = true;
                throw wrong;
            }
            throw error;
        } finally {
            generator.gi_running = false;
            $B.frame_obj = saved;
        }
        let { value } = result;
        let { done } = result;
        if (value && value.ob_type === GeneratorReturn) {
            done = true;
            value = value.value;
        }
        if (done) {
            generator.$finished = true;
            if (value === undefined || value === NONE) {
                $B.RAISE(_b_.StopIteration);
            }
            $B.RAISE(_b_.StopIteration, value);
        }
        return value;
    }
    $B.mend.methods($B.generator, {
        send(self, value) {
            if (self.js_gen.$finished) {
                $B.RAISE(_b_.StopIteration);
            }
            if (!self.js_gen.$has_run && value !== NONE && value !== undefined) {
                $B.RAISE(_b_.TypeError, "can't send non-None value to a just-started generator");
            }
            return resume(self, (generator) => generator.next(value));
        },
        throw() {
            const { self, type, value } = $B.args(
                "throw", 4, { self: null, type: null, value: null, traceback: null }, arguments,
                { value: NONE, traceback: NONE });
            let exception = type;
            if ($B.is_type(type)) {
                exception = value === NONE ? $B.$call(type) : $B.$isinstance(value, type) ? value : $B.$call(type, value);
            }
            if (!$B.$isinstance(exception, _b_.BaseException)) {
                $B.RAISE(_b_.TypeError, "exceptions must be classes or instances deriving from BaseException");
            }
            if (self.js_gen.$finished) {
                throw exception;
            }
            return resume(self, (generator) => generator.throw(exception));
        },
        close(self) {
            if (self.js_gen.$finished) {
                return NONE;
            }
            if (!self.js_gen.$has_run) {
                self.js_gen.$finished = true;
                return NONE;
            }
            try {
                $B.generator.tp_funcs.throw(self, $B.$call(_b_.GeneratorExit));
            } catch (error) {
                if ($B.is_exc(error, [_b_.GeneratorExit, _b_.StopIteration])) {
                    return NONE;
                }
                throw error;
            }
            $B.RAISE(_b_.RuntimeError, "generator ignored GeneratorExit");
        },
    });
    void send;
    void throw_into;
    // The value of StopIteration without arguments.
    $B.mend.slots(_b_.StopIteration, {
        tp_init() {
            const { self, args } = $B.args("StopIteration", 1, { self: null }, arguments, null, "args", "kw");
            _b_.BaseException.tp_init(self, ...args);
            self.value = args.length > 0 ? args[0] : NONE;
            return NONE;
        },
    });

    const signs = { __neg__: "-", __pos__: "+", __invert__: "~" };
    /** `-x`, `+x` and `~x`. */
    $B.unary_op = function (operand, method) {
        if (typeof operand === "number" && method === "__neg__") {
            return operand === 0 ? 0 : -operand;
        }
        const type = $B.get_class(operand);
        const operator = $B.search_in_mro(type, method, $B.NULL);
        if (operator === $B.NULL) {
            $B.RAISE(_b_.TypeError, `bad operand type for unary ${signs[method]}: '${$B.class_name(operand)}'`);
        }
        return $B.$call($B.$getattr(type, method), operand);
    };
})(__BRYTHON__);
