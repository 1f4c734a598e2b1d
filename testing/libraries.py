"""Libraries for tests.

Scripts cannot write to the data set, so they report through ``redis.log`` and the tests read
the server's log. ``library()`` puts a few JavaScript helpers in front of a test's own code:

    saw(data, tag)    logs "saw<tag> <stream> <value of the first field>"; read with Server.seen()
    show(data)        the record as JSON, IDs as strings
    value(data)       the value of the first field
    holding           an async callback that logs "start <value> <how many run>", waits until the
                      test calls Server.release(value), and logs "end <value>"

The callback ``holding`` needs the consumer ``RELEASE`` in the same library.
"""

import json

PRELUDE = """\
const show = data => JSON.stringify(data, (key, value) => typeof value === 'bigint' ? value.toString() : value);
const value = data => data.record[0][1];
const saw = (data, tag = '') => redis.log(`saw${tag} ${data.stream_name} ${value(data)}`);
const held = new Map();
let running = 0;
const holding = async (client, data) => {
    running += 1;
    redis.log(`start ${value(data)} ${running}`);
    await new Promise(resolve => held.set(value(data), resolve));
    running -= 1;
    redis.log(`end ${value(data)}`);
};
"""


def consumer(
    name="consumer",
    prefix="stream",
    window=1,
    trim=False,
    callback="(client, data) => saw(data)",
    options=None,
):
    """JavaScript that registers a stream consumer; its options are JavaScript, or what JSON can say."""
    given = f"'{name}', '{prefix}', {window}, {str(trim).lower()}, {callback}"
    if options is not None:
        given += f", {options if isinstance(options, str) else json.dumps(options)}"
    return f"redis.register_stream_consumer({given});"


def function(name="f", callback="(client, ...args) => args", flags=None):
    """JavaScript that registers a function."""
    more = "" if flags is None else f", {json.dumps(flags)}"
    return f"redis.register_function('{name}', {callback}{more});"


RELEASE = consumer("release", "release", callback="(client, data) => { value(data) === '*' ? held.forEach(end => end(0)) : held.get(value(data))(0); }")


def library(*statements, name="lib"):
    """The code of a library: prologue, helpers, and the statements."""
    return f"#!js name={name}\n{PRELUDE}" + "\n".join(statements)
