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
     * What a callback says of entries that failed while the others did not: the object it returns, or
     * resolves to. Those that are not named are done.
     */
    interface PartialFailure {
        /**
         * The IDs of those that failed: `record.id`, or the text `"ms-seq"`. One that is not among
         * those that the callback got makes all of them failed.
         */
        readonly failed: readonly (readonly [ms: bigint, seq: bigint] | string)[];
        /** Their error; `"the callback reported it as failed"` where it is left out. */
        readonly error?: string;
    }

    /** What a callback can give back: a {@link PartialFailure}; everything else is ignored. */
    type Outcome =
        | PartialFailure
        | string
        | number
        | bigint
        | boolean
        | symbol
        | null
        | undefined
        | void
        | (object & { readonly failed?: never; readonly then?: never });

    /**
     * An error that says how its entries go on. Any error object can carry these two:
     * `throw Object.assign(new Error("busy"), { retry_after: 60_000 })`.
     */
    interface Failure extends Error {
        /** Milliseconds until this retry, in place of the interval. */
        retry_after?: number;
        /** Whether the entries are given up at once, however many attempts are left. */
        fatal?: boolean;
    }

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
     * An exception, a rejection and a {@link PartialFailure} are failures: the error is kept as the
     * stream's `last_error`, and the option `on_failure` says what follows. Without it the entry ends
     * there, and the next one follows. See {@link Failure} for what an error can say.
     *
     * Code that does not come to an end is ended after `lock-redis-timeout` milliseconds (500 unless
     * configured otherwise) where it holds the server's lock, after `background-timeout` (5000)
     * elsewhere; that is a failure too.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param record - The entry.
     * @returns A promise is waited for; of the rest see {@link Outcome}.
     */
    type StreamCallback<C extends Client | AsyncClient = EitherClient> = (
        client: C,
        record: StreamRecord,
    ) => [C] extends [Client] ? Outcome | Promise<Outcome> : Promise<Outcome>;

    /**
     * Gets a batch of entries of one stream, in the order of their IDs: what a consumer with the option
     * `batch` has. Everything else is as with {@link StreamCallback}. If it fails, all of the batch
     * have failed, unless it says with a {@link PartialFailure} which.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param records - The entries, at least one.
     * @returns A promise is waited for; of the rest see {@link Outcome}.
     */
    type BatchCallback<C extends Client | AsyncClient = EitherClient> = (
        client: C,
        records: StreamRecord[],
    ) => [C] extends [Client] ? Outcome | Promise<Outcome> : Promise<Outcome>;

    /** Text as UTF-8, or bytes as they are. */
    type Bytes = string | ArrayBuffer;

    /**
     * What the value of a field must be like: equal to a text, like any of a list, or one of these. The
     * first field of that name counts.
     */
    type Condition =
        | Bytes
        | readonly Condition[]
        /** It begins like this. */
        | { readonly prefix: Bytes; readonly exists?: never; readonly not?: never }
        /** There is such a field, or there is none. */
        | { readonly exists: boolean; readonly prefix?: never; readonly not?: never }
        /** The condition does not hold: also where there is no such field, if it needs one. */
        | { readonly not: Condition; readonly prefix?: never; readonly exists?: never };

    /** Conditions by the name of the field; all of them must hold. */
    interface Filter {
        readonly [field: string]: Condition;
    }

    /** Pauses that grow: before the n-th retry `initial * factor ** (n - 1)`, at most `max`. */
    interface Backoff {
        /** Milliseconds before the first retry. */
        readonly initial: number;
        /** How much longer each pause is than the one before: 1 to 100; 2 where it is left out. */
        readonly factor?: number;
        /** Milliseconds that none exceeds; 3,600,000 where it is left out. */
        readonly max?: number;
        /** Which part of a pause chance may take off: 0 to 1; 0 where it is left out. */
        readonly jitter?: number;
    }

    /** Options that do not depend on others. */
    interface CommonOptions extends RegistrationOptions {
        /**
         * The stream that given-up entries are added to, behind the fields `library`, `consumer`,
         * `stream`, `id`, `attempts`, `error`, `first_time` and `last_time`. The consumer itself must not
         * match it.
         */
        readonly dead_letter?: Bytes;
        /**
         * What waits during a retry, or stops at an abort: the `"stream"` of the failure, unless said
         * otherwise, or all streams of the `"consumer"`.
         */
        readonly scope?: "stream" | "consumer";
        /**
         * Where streams that are seen for the first time begin: with the `"earliest"` entry, unless said
         * otherwise; with the `"latest"`, that is, with what is added from then on; or with this ID or
         * the next behind it.
         */
        readonly start?: "earliest" | "latest" | `${bigint}-${bigint}`;
        /**
         * A field: entries with an equal value of it are with the callback one after another, in order.
         * The others are side by side, within the window.
         */
        readonly order_by?: Bytes;
        /** Which entries the callback gets; the others count as done at once. */
        readonly filter?: Filter;
        /** Whether the prefix is the whole name of the key. */
        readonly exact?: boolean;
    }

    /** Entries that fail are given up, or stop the stream. */
    interface WithoutRetry {
        /**
         * `"continue"`, unless said otherwise: they count as done, and the next ones follow. `"abort"`:
         * nothing more is handed over until `RG.CONSUMER RESUME`.
         */
        readonly on_failure?: "continue" | "abort";
        readonly retry_interval?: never;
        readonly backoff?: never;
        readonly max_attempts?: never;
        readonly max_age?: never;
        readonly bisect?: never;
    }

    /** Entries that fail are handed over again. */
    interface WithRetry {
        readonly on_failure: "retry";
        /** After so many failed attempts they are given up: 1 to 1,000,000. Never where it is left out. */
        readonly max_attempts?: number;
        /** They are given up at the first failure so many milliseconds after the first attempt began. */
        readonly max_age?: number;
    }

    /** How long a retry waits. */
    type RetryPause =
        | {
            /** Milliseconds before each: 0 to 86,400,000; 1000 where it is left out. */
            readonly retry_interval?: number;
            readonly backoff?: never;
        }
        | {
            /** Pauses that grow, in place of `retry_interval`. */
            readonly backoff: Backoff;
            readonly retry_interval?: never;
        };

    /** Options of a consumer that gets entries one by one. */
    type StreamOptions = CommonOptions
        & { readonly batch?: never; readonly duration?: never; readonly bisect?: never }
        & (WithoutRetry | (WithRetry & RetryPause));

    /** Options of a consumer that gets batches. */
    type BatchOptions = CommonOptions
        & {
            /** How many entries the callback gets at once, at most: 1 to 10,000. */
            readonly batch: number;
            /**
             * Milliseconds after which a batch that is not full is handed over all the same, from when
             * its first entry was seen: 0 to 86,400,000. With 0, or without it, only full ones are.
             */
            readonly duration?: number;
        }
        & (
            | WithoutRetry
            | (WithRetry & RetryPause & {
                /** Whether a batch that fails is halved until the entry that fails is alone. */
                readonly bisect?: boolean;
            })
        );

    /**
     * Called once the library is live, on a primary: after each load and upgrade, after a restart, and
     * when a replica becomes the primary. It acts as the library's owner. What it throws is only logged.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     */
    type RegisteredCallback = (client: EitherClient) => unknown;

    /** Options that stream consumers and triggers have. */
    interface RegistrationOptions {
        /** Called when the library begins to work on a server. */
        readonly on_registered?: RegisteredCallback;
        /** What it is for, at most 1000 characters; shown by `RG.DUMPREGISTRATIONS`. */
        readonly description?: string;
    }

    /** What a key holds; `"empty"`: it is not there. */
    type KeyType = "string" | "list" | "hash" | "set" | "zset" | "stream" | "module" | "empty";

    /**
     * Something that happened to a key.
     *
     * The object belongs to one call of one trigger. The view of bytes is made when it is read, and does
     * not enumerate: `JSON.stringify` prints the event and the key.
     */
    interface KeyEvent {
        /** The server's name for it: `"set"`, `"hset"`, `"del"`, `"expired"`, ... */
        event: string;
        /** The key; `null` where it is not UTF-8. */
        key: string | null;
        /** The key, as bytes. */
        readonly key_raw: ArrayBuffer;
    }

    /**
     * What the key held right after the event, by its type. Text that is not UTF-8 is `null`; the raw
     * view has it, and does not enumerate.
     */
    type KeyValue =
        | { type: "string"; value: string | null; readonly value_raw: ArrayBuffer }
        | { type: "list" | "set"; value: (string | null)[]; readonly value_raw: ArrayBuffer[] }
        | {
            type: "hash";
            /** Fields that are not UTF-8 are only in the raw view. */
            value: { [field: string]: string | null };
            readonly value_raw: [field: ArrayBuffer, value: ArrayBuffer][];
        }
        | {
            type: "zset";
            /** In ascending order of the scores. */
            value: [member: string | null, score: number][];
            readonly value_raw: [member: ArrayBuffer, score: number][];
        }
        | { type: "stream" | "module" | "empty"; value: null; readonly value_raw: null };

    /** What a trigger with the option `read_value` gets. */
    type KeyEventWithValue = KeyEvent & KeyValue;

    /**
     * Gets an event of a key.
     *
     * - A plain function gets a {@link Client} and runs on the server's main thread, after the command
     *   that caused the event and before its reply. Clients wait meanwhile, so keep it short.
     * - A plain function that returns a promise starts there; it has ended when the promise is settled.
     * - An `async` function gets an {@link AsyncClient} and runs on a worker.
     *
     * It acts as the user who loaded the library, in the key's database. What it writes fires no triggers.
     * An exception or a rejection is counted, and kept as `last_error`; the event does not come again.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param data - The event, with what `on_trigger_fired` has added to it.
     * @returns A promise is waited for; everything else is ignored.
     */
    type TriggerCallback<C extends Client | AsyncClient = EitherClient, D extends KeyEvent = KeyEvent> = (
        client: C,
        data: D,
    ) => [C] extends [Client] ? unknown : Promise<unknown>;

    /** Anything but a promise. */
    type NoPromise =
        | string
        | number
        | bigint
        | boolean
        | symbol
        | null
        | undefined
        | void
        | (object & { readonly then?: never });

    /** What `on_trigger_fired` can add to an event: not what is there where it is asked for. */
    type Added = object & { readonly value_raw?: never };

    /** Options that have something added. */
    interface Adding {
        readonly on_trigger_fired: unknown;
    }

    /** Options of a trigger. */
    interface TriggerOptions<D extends KeyEvent = KeyEvent> extends RegistrationOptions {
        /** The events that count, in any case; all of them where it is left out. 1 to 1000. */
        readonly event_types?: readonly string[];
        /** What the key must hold after the event; anything where it is left out. */
        readonly key_types?: readonly KeyType[];
        /** Whether the prefix is the whole name of the key. */
        readonly exact?: boolean;
        /**
         * Called at the event itself, in the middle of the command, transaction or script, before anything
         * else happens. It may look, and not write. What it adds to the data is there for the callback. If
         * it throws, the callback is not run. A plain function.
         */
        readonly on_trigger_fired?: (client: Client, data: D) => NoPromise;
    }

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
         *   another. With the option `batch` it counts batches.
         * @param trim - Whether entries that every matching consumer is done with are removed from the
         *   stream. One consumer that asks for it is enough.
         * @param callback - Gets each entry, or with the option `batch` an array of them. A generator
         *   function is refused: nothing of its body would run.
         * @param options - How failures are handled, and which entries the callback gets in what way. None
         *   where it is left out. A plain object; what it does not know, or what would do nothing beside the
         *   others, is refused.
         * @throws TypeError If the number of arguments or the type of one is wrong, `window` is not a whole
         *   number in its range, or an option is unknown or wrong.
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
            options?: StreamOptions,
        ): void;
        register_stream_consumer<C extends Client | AsyncClient = EitherClient>(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            window: number | bigint,
            trim: boolean,
            callback: BatchCallback<C>,
            options: BatchOptions,
        ): void;

        /**
         * Registers a key-space trigger: `callback` gets every event of every key that starts with
         * `prefix`, as far as the options let it through.
         *
         * Only while the library is loaded, that is, from its top-level code.
         *
         * @param name - The trigger's name, at most 1000 characters; unique among the triggers of the
         *   library.
         * @param prefix - What the keys start with. No pattern: `*` is a plain character, and `""` matches
         *   every key. At most 65,536 bytes. Bytes that are not UTF-8 are given as an ArrayBuffer or a view
         *   of one. An upgrade of the library may change it.
         * @param callback - Gets each event. A generator function is refused: nothing of its body would
         *   run.
         * @param options - Which events it gets, and with what. None where it is left out. A plain object;
         *   what it does not know is refused. With `read_value: true` the data has the key's type and value.
         * @throws TypeError If the number of arguments or the type of one is wrong, or an option is unknown
         *   or wrong.
         * @throws Error If the name is taken in this library, the library has 1000 triggers already, or the
         *   call comes after loading.
         */
        register_notifications_consumer<C extends Client | AsyncClient = EitherClient>(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            callback: TriggerCallback<C>,
            options?: TriggerOptions & { readonly read_value?: false },
        ): void;
        register_notifications_consumer<C extends Client | AsyncClient = EitherClient>(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            callback: TriggerCallback<C, KeyEventWithValue>,
            options: TriggerOptions<KeyEventWithValue> & {
                /** Whether the data has the key's type and value, as they were at the event. */
                readonly read_value: true;
            },
        ): void;
        // With what `on_trigger_fired` adds: the callback says what that is, at its parameter.
        register_notifications_consumer<M extends Added, C extends Client | AsyncClient = EitherClient>(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            callback: TriggerCallback<C, KeyEvent & M>,
            options: TriggerOptions<KeyEvent & Partial<M>> & Adding & { readonly read_value?: false },
        ): void;
        register_notifications_consumer<M extends Added, C extends Client | AsyncClient = EitherClient>(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            callback: TriggerCallback<C, KeyEventWithValue & M>,
            options: TriggerOptions<KeyEventWithValue & Partial<M>> & Adding & { readonly read_value: true },
        ): void;
    }
}

/** The module's interface. Each library has its own. */
declare const redis: RedisGears.Redis;
