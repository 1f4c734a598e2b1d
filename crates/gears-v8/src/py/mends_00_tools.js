// What the other mends use to put a function into a built-in class of Brython. A class keeps a function in up to three
// places: as a slot, that the interpreter calls; as a descriptor in its dictionary, that Python code finds; and in
// `tp_funcs`, that Brython's own code calls.
//
// Mends are scripts that run right after Brython, in the order of their names. Each names the fault that it mends; texts
// that a script cannot reach are mended by scripts/python-patches.mjs.
(function ($B) {
    "use strict";

    const _b_ = $B.builtins;

    /** Puts slots into `cls`, such as `nb_and`, and makes their descriptors (`__and__`, `__rand__`) anew. */
    function slots(cls, functions) {
        for (const [slot, implementation] of Object.entries(functions)) {
            cls[slot] = implementation;
            const make = $B.wrapper_methods[slot];
            if (make !== undefined) {
                make(cls, slot);
            }
        }
    }

    /** Puts methods into `cls`: each is called with the object first. */
    function methods(cls, functions) {
        cls.tp_funcs ??= {};
        for (const [name, method] of Object.entries(functions)) {
            cls.tp_funcs[name] = method;
            $B.set_function_infos(method, {
                __doc__: "",
                __module__: "builtins",
                __name__: name,
                __qualname__: `${cls.tp_name}.${name}`,
                __defaults__: [],
                __kwdefaults__: {},
            });
            method.ob_type = $B.builtin_method;
            const descriptor = { ob_type: $B.method_descriptor, method, d_name: name, d_type: cls };
            method.self = descriptor;
            $B.set_to_dict(cls, name, descriptor);
        }
    }

    /** Puts functions into the built-ins. */
    function builtins(functions) {
        for (const [name, implementation] of Object.entries(functions)) {
            implementation.ob_type = $B.builtin_function_or_method;
            implementation.m_module = "builtins";
            implementation.$function_infos = ["builtins", name, name];
            _b_[name] = implementation;
        }
    }

    $B.mend = { slots, methods, builtins };
})(__BRYTHON__);
