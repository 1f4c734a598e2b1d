/**
 * What a library can use inside the `redisgears_2` module: the global `redis`, and the types of what
 * it gives and takes. Everything else is the JavaScript language itself: there are no timers, no
 * `console`, no modules and no access to files or the network.
 */

/** Types only: nothing of this namespace exists at run time. */
declare namespace RedisGears {
    /** A value of JSON, as `RG.FUNCTION LOAD ... CONFIG json` brings it. */
    type JsonValue =
        | string
        | number
        | boolean
        | null
        | readonly JsonValue[]
        | JsonObject;

    /** An object of JSON. Any name may be missing, so each access may give `undefined`. */
    interface JsonObject {
        readonly [name: string]: JsonValue | undefined;
    }

    /**
     * The ID of a stream entry: milliseconds and sequence number, both unsigned 64-bit.
     *
     * They are BigInts because 64 bits do not fit into a number. `JSON.stringify` throws on a
     * BigInt: give it a replacer that writes them as strings.
     */
    type StreamId = [ms: bigint, seq: bigint];

    /**
     * One entry of a stream.
     *
     * The names and values are there twice: as text, where bytes that are not UTF-8 give `null`, and
     * as bytes. The views of bytes are made when they are read, and do not enumerate:
     * `JSON.stringify`, `Object.keys` and the spread syntax leave them out.
     *
     * The object belongs to one call of one callback, also after the callback awaited something.
     * Changing it changes nothing elsewhere.
     */
    interface StreamRecord {
        /** The entry's ID. */
        id: StreamId;

        /** The key of the stream; `null` where it is not UTF-8. */
        stream_name: string | null;

        /**
         * Fields and values in the order of the entry. Pairs and no object, because a field may come
         * more than once. What is not UTF-8 is `null`; its pair is there all the same.
         */
        record: [field: string | null, value: string | null][];

        /** The key of the stream, as bytes. */
        readonly stream_name_raw: ArrayBuffer;

        /** The pairs of `record` in the same order, as bytes. */
        readonly record_raw: [field: ArrayBuffer, value: ArrayBuffer][];
    }

    /**
     * What a command can be given: text as UTF-8, bytes as they are, numbers and booleans as
     * `String()` writes them. Everything else is a TypeError, `null` and `undefined` too. What
     * {@link Client.call} gave can be given again, except for lists, maps, sets and `null`.
     */
    type Argument = string | String | number | bigint | boolean | ArrayBufferLike | ArrayBufferView;

    /**
     * What {@link Client.call} gives for `+OK` and the like: a String object. It compares with `==`,
     * not with `===`; `String(reply)` makes it a plain string.
     */
    interface StatusReply extends String {
        readonly __reply_type: "status";
    }

    /** A whole number that may be beyond 64 bits: its digits as a String object. */
    interface BigNumberReply extends String {
        readonly __reply_type: "big_number";
    }

    /** A verbatim text: a String object with its format, such as `"txt"`. */
    interface VerbatimReply extends String {
        readonly __reply_type: "verbatim";
        readonly __format: string;
        /** The same as `__format`. */
        readonly __ext: string;
    }

    /**
     * What {@link Client.call} gives. Commands are answered in RESP3: integers are BigInts, doubles
     * numbers, strings strings; HGETALL gives an object, SMEMBERS a Set, HGET `null` where there is
     * nothing.
     */
    type Reply =
        | string
        | bigint
        | number
        | boolean
        | null
        | StatusReply
        | BigNumberReply
        | VerbatimReply
        | Reply[]
        | Set<Reply>
        | ReplyMap;

    /** A map that was replied. */
    interface ReplyMap {
        [name: string]: Reply;
    }

    /** What {@link Client.call_raw} gives for `+OK` and the like. */
    interface RawStatusReply extends ArrayBuffer {
        readonly __reply_type: "status";
    }

    /** A verbatim text as bytes. */
    interface RawVerbatimReply extends ArrayBuffer {
        readonly __reply_type: "verbatim";
        readonly __format: string;
        /** The same as `__format`. */
        readonly __ext: string;
    }

    /** What {@link Client.call_raw} gives: as {@link Reply}, with bytes in place of strings. */
    type RawReply =
        | ArrayBuffer
        | bigint
        | number
        | boolean
        | null
        | RawStatusReply
        | BigNumberReply
        | RawVerbatimReply
        | RawReply[]
        | Set<RawReply>
        | RawReplyMap;

    /** A map that was replied. Its names are strings; one that is not UTF-8 is an error. */
    interface RawReplyMap {
        [name: string]: RawReply;
    }

    /**
     * What the server refused: thrown by {@link Client.call}, and by {@link AsyncClient.block} where
     * the lock cannot be had. There is no global of this name: tell it by its `name`.
     */
    interface RedisError extends Error {
        readonly name: "RedisError";
        /** The server's text, code first: `"WRONGTYPE Operation against a key ..."`. */
        message: string;
        /** The message alone, without a name in front of it. */
        toString(): string;
    }

    /**
     * What plain code gets: the server's lock is held, so commands can be run, and nobody else runs
     * any before the code is done. It is good until the code it was given to returns, or comes to
     * its first `await`; after that its methods throw.
     */
    interface Client {
        /**
         * Runs a command, in the name of the user this code acts for, and gives its reply.
         *
         * @param command - Its name.
         * @param args - Its other words.
         * @throws RedisError If the server refuses it. An error within a list is thrown as well.
         * @throws TypeError If an argument is of a type that no command can be given.
         * @throws Error If a string of the reply is not UTF-8 (see `call_raw`), the reply is larger than
         *   half of the library's memory, or the client is not good any more.
         */
        call(command: string | String, ...args: Argument[]): Reply;

        /** As `call`, but strings of the reply are given as bytes. */
        call_raw(command: string | String, ...args: Argument[]): RawReply;

        /**
         * Whether the caller can be kept waiting: not in `MULTI ... EXEC`. Where it is false, a
         * function must return something else than a pending promise.
         */
        allow_block(): boolean;

        /**
         * Has an async function called on a worker, with the same user, database and flags.
         *
         * @param work - An `async` function; a plain one that returns a promise is refused.
         * @returns A promise of what it gives.
         */
        run_on_background<R>(work: (client: AsyncClient) => Promise<R>): Promise<R>;
    }

    /**
     * What async code gets: it runs on a worker, beside the server. It stays good, also after an
     * `await`.
     */
    interface AsyncClient {
        /**
         * Waits for the server's lock and calls `work` with it. All that `work` does is atomic, and
         * replicated as one transaction. Everybody waits meanwhile: keep it short.
         *
         * @param work - A plain function. Of an `async` one only what comes before its first `await`
         *   could use the client.
         * @returns What `work` gives.
         * @throws RedisError If the lock cannot be had (on a replica, without memory, after the library
         *   was deleted), or `work` was ended for its time.
         * @throws What `work` throws.
         */
        block<R>(work: (client: Client) => R): R;
    }

    /**
     * What a callback gets where nothing says which kind it is. TypeScript cannot tell an `async`
     * function from a plain one that returns a promise, so this has the members of both. At run time
     * it is a {@link Client} for plain functions and an {@link AsyncClient} for `async` ones: write
     * that type at the parameter, and wrong use is an error.
     */
    interface EitherClient extends Client, AsyncClient {}

    /**
     * Gets one entry of a stream.
     *
     * - A plain function gets a {@link Client} and runs on the server's main thread; the entry is done
     *   when it returns. Clients wait meanwhile, so keep it short.
     * - A plain function that returns a promise starts there; the entry is done when the promise is
     *   settled.
     * - An `async` function gets an {@link AsyncClient} and runs on a worker; the entry is done when its
     *   promise is settled.
     *
     * It acts as the user who loaded the library, in the stream's database.
     *
     * An exception or a rejection ends the entry too: it is kept as the stream's `last_error`, and the
     * next entry follows. A callback that wants another attempt makes it itself.
     *
     * Code that does not come to an end is ended after `lock-redis-timeout` milliseconds (500 unless
     * configured otherwise) where it holds the server's lock, after `background-timeout` (5000)
     * elsewhere; the entry counts as failed.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param record - The entry.
     * @returns A promise is waited for; everything else is ignored.
     */
    type StreamCallback<C extends Client | AsyncClient = EitherClient> = (
        client: C,
        record: StreamRecord,
    ) => [C] extends [Client] ? unknown : Promise<unknown>;

    /**
     * What a function can return. Functions, symbols and promises within other values cannot be sent.
     * A whole number of 32 bits and a BigInt are integers, other numbers doubles; an object becomes a
     * map, an Error an error reply.
     */
    type Result =
        | string
        | number
        | bigint
        | boolean
        | null
        | undefined
        | void
        | (object & { readonly apply?: never; readonly then?: never });

    /**
     * What `RG.FCALL` calls.
     *
     * - A plain function gets a {@link Client} and runs inside the command, on the server's main thread.
     *   If it returns a promise, the caller waits until that is settled.
     * - An `async` function gets an {@link AsyncClient} and runs on a worker, while the caller waits.
     *
     * It acts as the caller, in the caller's database. What it throws is replied as an error.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param args - What the caller gave behind `numkeys`, the keys first. A caller may give fewer than
     *   you expect: then the rest is `undefined`.
     * @returns What the caller gets, or a promise of it.
     */
    type FunctionCallback<
        C extends Client | AsyncClient = EitherClient,
        A extends string | ArrayBuffer = string,
    > = (client: C, ...args: A[]) => [C] extends [Client] ? Result | Promise<Result> : Promise<Result>;

    /**
     * What a function says of itself:
     *
     * - `"no-writes"`: it may run on a replica and when the server is out of memory; commands that
     *   write are refused.
     * - `"allow-oom"`: it may run, and write, when the server is out of memory.
     * - `"raw-arguments"`: it gets its arguments as ArrayBuffers. Without it, arguments that are not
     *   UTF-8 are refused.
     */
    type FunctionFlag = "no-writes" | "allow-oom" | "raw-arguments";

    /** Flags without `"raw-arguments"`. */
    type TextFlags = readonly ("no-writes" | "allow-oom")[];

    /** Flags with `"raw-arguments"` among them. */
    type RawFlags =
        | readonly ["raw-arguments", ...FunctionFlag[]]
        | readonly [FunctionFlag, "raw-arguments", ...FunctionFlag[]]
        | readonly [FunctionFlag, FunctionFlag, "raw-arguments"];

    /** The levels of the server's log. Which of them are written is the server's setting `loglevel`. */
    type LogLevel = "debug" | "verbose" | "notice" | "warning";

    /** The global `redis`. */
    interface Redis {
        /**
         * What was given with `RG.FUNCTION LOAD ... CONFIG json`; an empty object where nothing was.
         */
        readonly config: JsonObject;

        /**
         * Writes a line into the server's log, marked `<redisgears_2>`. A long message goes on in
         * further lines; line breaks and other control characters are shown escaped.
         *
         * @param message - The text; of more than 65,536 UTF-16 units the rest is cut off.
         * @param level - `"notice"` where it is left out.
         * @throws TypeError If the message is not a string, or the level is none.
         */
        log(message: string, level?: LogLevel): void;

        /** The version of V8, such as `"15.2.124.1-rusty"`. */
        v8_version(): string;

        /**
         * Registers a function for `RG.FCALL library name numkeys [key ...] [arg ...]`.
         *
         * Only while the library is loaded, that is, from its top-level code.
         *
         * @param name - The function's name, at most 1000 characters; unique among the functions of the
         *   library.
         * @param callback - What is called, plain or `async`. A generator function is refused.
         * @param flags - What the function says of itself; none where it is left out.
         * @throws TypeError If the number of arguments or the type of one is wrong, or a flag is unknown.
         * @throws Error If the name is taken in this library, the library has 10,000 functions already, or
         *   the call comes after loading.
         */
        register_function<C extends Client | AsyncClient = EitherClient>(
            name: string,
            callback: FunctionCallback<C>,
            flags?: TextFlags,
        ): void;
        register_function<C extends Client | AsyncClient = EitherClient>(
            name: string,
            callback: FunctionCallback<C, ArrayBuffer>,
            flags: RawFlags,
        ): void;

        /**
         * The same as `register_function`. Declared for `async` functions alone, so that their client
         * needs no type to be checked.
         */
        register_async_function(
            name: string,
            callback: FunctionCallback<AsyncClient>,
            flags?: TextFlags,
        ): void;
        register_async_function(
            name: string,
            callback: FunctionCallback<AsyncClient, ArrayBuffer>,
            flags: RawFlags,
        ): void;

        /**
         * Registers a consumer: `callback` gets every entry of every stream whose key starts with
         * `prefix`, including the entries that are there already, in ascending order of their IDs.
         *
         * Only while the library is loaded, that is, from its top-level code.
         *
         * @param name - The consumer's name, at most 1000 characters; unique among the stream consumers of
         *   the library.
         * @param prefix - What the keys of the streams start with. No pattern: `*` is a plain character,
         *   and `""` matches every stream. At most 65,536 bytes. Bytes that are not UTF-8 are given as an
         *   ArrayBuffer or a view of one. An upgrade of the library cannot change it.
         * @param window - How many entries of one stream may be in the callback's hands at once: a whole
         *   number of entries, 1 to 1,000,000. With 1, entries of a stream are processed strictly one after
         *   another.
         * @param trim - Whether entries that every matching consumer is done with are removed from the
         *   stream. One consumer that asks for it is enough.
         * @param callback - Gets each entry. A generator function is refused: nothing of its body would run.
         * @throws TypeError If the number of arguments or the type of one is wrong, or `window` is not a
         *   whole number in its range.
         * @throws Error If the name is taken in this library, the library has 1000 stream consumers already,
         *   or the call comes after loading.
         *   What the top-level code does not catch makes `RG.FUNCTION LOAD` fail; nothing of the library
         *   stays behind.
         */
        register_stream_consumer<C extends Client | AsyncClient = EitherClient>(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            window: number | bigint,
            trim: boolean,
            callback: StreamCallback<C>,
        ): void;
    }
}

/** The module's interface. Each library has its own. */
declare const redis: RedisGears.Redis;
