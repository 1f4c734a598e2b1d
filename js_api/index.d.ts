/**
 * What a library can use inside the `redisgears_2` module: the global `redis`, `GearsBuilder` and the
 * functions beside it, and the types of what they give and take. Everything else is the JavaScript
 * language itself: there are no timers, no `console`, no modules and no access to files or the network.
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


/** Types of what comes from RedisGears 1: `GearsBuilder` and the functions beside it. */
declare namespace RedisGears {
    /** What is at a key, by its type. */
    type KeyContent =
        | { type: "string"; value: Bytes }
        | { type: "hash"; value: { [field: string]: Bytes | null } }
        | { type: "list"; value: (Bytes | null)[] }
        | { type: "set"; value: (Bytes | null)[] }
        | { type: "zset"; value: [member: Bytes | null, score: number][] }
        | { type: "stream" | "module" | "empty"; value: null };

    /** A record of the `KeysReader` with `readValue: false`. */
    interface KeyNote {
        /** The key, as bytes where it is not UTF-8. */
        key: Bytes;
        /** What happened to it, such as `"set"`; `null` in a run. */
        event: string | null;
    }

    /** A record of the `KeysReader`. Look at `type` first, and the type of `value` is known. */
    type KeyRecord = KeyNote & KeyContent;

    /**
     * A record of the `StreamReader`: the fields of an entry beside its ID. Of a field that is there more
     * than once it has the last value, and a field of the name `streamId` hides the ID. Values that are not
     * UTF-8 are bytes; fields whose names are not UTF-8 are left out.
     */
    interface FlatEntry {
        /** The ID of the entry, as `"ms-seq"`. */
        streamId: string;
        [field: string]: Bytes;
    }

    /** A record of the `StreamReader` with `recordFormat: "nested"`. */
    interface NestedEntry {
        /** The key of the stream. */
        key: Bytes;
        /** The ID of the entry, as `"ms-seq"`. */
        id: string;
        /** The fields of the entry, as in a {@link FlatEntry}. */
        value: { [field: string]: Bytes };
    }

    /** What {@link execute} gives: as {@link Reply}, with bytes where a string is not UTF-8. */
    type EitherReply =
        | Bytes
        | bigint
        | number
        | boolean
        | null
        | StatusReply
        | BigNumberReply
        | VerbatimReply
        | RawStatusReply
        | RawVerbatimReply
        | EitherReply[]
        | Set<EitherReply>
        | EitherReplyMap;

    /** A map that was replied. Names that are not UTF-8 are left out. */
    interface EitherReplyMap {
        [name: string]: EitherReply;
    }

    /** What the operators that group give: one record for each key. */
    interface Group<V> {
        key: string;
        value: V;
    }

    /** Where records come from. */
    type ReaderName = "KeysReader" | "KeysOnlyReader" | "StreamReader" | "ShardsIDReader";

    /** What is a matter of taste in RedisGears 1 and has no effect here, except for `convertToStr` in a run. */
    interface CommonArguments {
        /** In a run, whether results become text: objects as JSON, others by `String()`. `false` where left out. */
        readonly convertToStr?: boolean;
        /** Has no effect: a library has one shard. */
        readonly collect?: boolean;
    }

    /** What `run` can be given beside its first argument. */
    interface RunArguments {
        KeysReader: CommonArguments & {
            /** Whether the argument is a key and no pattern. Its record comes even if there is no such key. */
            readonly noScan?: boolean;
            /** Whether records have `value` and `type`; `true` where it is left out. */
            readonly readValue?: boolean;
        };
        KeysOnlyReader: CommonArguments & {
            /** Whether the argument is a key and no pattern. It comes only if it is there. */
            readonly noScan?: boolean;
            /** How many keys a `SCAN` looks at: 1 to 10,000; 1000 where it is left out. */
            readonly count?: number;
        };
        StreamReader: CommonArguments & {
            /** The entries behind this ID are read; all where it is left out. */
            readonly fromId?: string;
            /** The form of the records: `"flat"` where it is left out. */
            readonly recordFormat?: "flat" | "nested";
        };
        ShardsIDReader: CommonArguments;
    }

    /** What `register` can be given, whatever the reader. */
    interface CommonRegisterArguments extends CommonArguments {
        /**
         * Called without arguments when the registration begins to work: after loading and upgrading, after a
         * restart, and when a replica becomes primary. What it throws is logged.
         */
        readonly onRegistered?: () => unknown;
        /** The same as `onRegistered`. */
        readonly OnRegistered?: () => unknown;
        /** The form of a stream's records: `"flat"` where it is left out. */
        readonly recordFormat?: "flat" | "nested";
    }

    /**
     * Where the steps run. `"async"`, unless said otherwise: on a worker. `"async_local"`: the same, as a
     * library has one shard. `"sync"`: on the server's main thread, before the client gets its reply; no step
     * may return a promise.
     */
    type RegisterMode = "async" | "async_local" | "sync";

    /** What `register` can be given beside the prefix. */
    interface RegisterArguments {
        KeysReader: CommonRegisterArguments & {
            readonly mode?: RegisterMode;
            /** The events that count, such as `"set"`, in any case; all where it is left out. */
            readonly eventTypes?: readonly string[];
            /** The types of keys that count, as they are after the event; all where it is left out. */
            readonly keyTypes?: readonly KeyType[];
            /** Whether records have `value` and `type`; `true` where it is left out. */
            readonly readValue?: boolean;
            /** Has no effect. */
            readonly noScan?: boolean;
        };
        StreamReader: CommonRegisterArguments & {
            /** How many entries one execution gets: 1 to 10,000; 1 where it is left out. */
            readonly batch?: number;
            /**
             * Milliseconds after which a batch that is not full is processed all the same: 0 to 86,400,000.
             * With 0, or without it, only full ones are.
             */
            readonly duration?: number;
            /** Seconds before a retry: 0 to 86,400, also fractions; 1 where it is left out. */
            readonly onFailedRetryInterval?: number;
            /** Whether entries that everyone is done with are removed; `true` where it is left out. */
            readonly trimStream?: boolean;
        } & (
            | {
                readonly mode?: "async" | "async_local";
                /**
                 * What follows when a step throws, in any case. `"retry"`, unless said otherwise: the batch is
                 * processed again, and all streams of the registration wait. `"abort"`: nothing is processed any
                 * more. `"continue"`: the batch counts as done; what came behind the error is processed all the same.
                 */
                readonly onFailedPolicy?: AnyCase<"retry" | "abort" | "continue">;
            }
            | { readonly mode: "sync"; readonly onFailedPolicy?: AnyCase<"continue"> }
        );
    }

    /** A word in some spellings. */
    type AnyCase<W extends string> = W | Uppercase<W> | Capitalize<W>;

    /** The keys of a registration: an exact name, or what comes before a `*` at the end. `"*"` where left out. */
    type ByName<A> = A & (
        | { readonly prefix?: string; readonly regex?: never }
        /** The same as `prefix`. */
        | { readonly regex: string; readonly prefix?: never }
    );

    /** What `flatmap` makes of a result: the elements of an array, anything else as it is. */
    type Flattened<V> = V extends readonly (infer E)[] ? E : V;

    /**
     * A plan: where records come from, and what becomes of them, step by step. Every operator adds a step to the
     * builder and returns it. Nothing happens before {@link Builder.run} or {@link Builder.register}, and what is
     * added afterwards changes nothing of these.
     *
     * Functions may be `async`, except in mode `"sync"`. One record is processed after the other. What a function
     * throws ends up as an error of the execution in place of the record; from then on nothing more is read.
     *
     * Names are those of RedisGears 1; where they consist of several words, there is a camel-case one besides.
     *
     * @typeParam R - The reader.
     * @typeParam T - What the next step gets.
     */
    interface Builder<R extends ReaderName, T> {
        /** Each record becomes what `f` gives. */
        map<U>(f: (record: T) => U): Builder<R, Awaited<U>>;

        /** Records for which `f` gives something true go on. */
        filter<U extends T>(f: (record: T) => record is U): Builder<R, U>;
        filter(f: (record: T) => unknown): Builder<R, T>;

        /**
         * Each record becomes what `f` gives: of an array its elements, **the last one first**; anything else,
         * other collections too, as one record.
         */
        flatmap<U>(f: (record: T) => U): Builder<R, Flattened<Awaited<U>>>;
        /** The same as `flatmap`. */
        flatMap<U>(f: (record: T) => U): Builder<R, Flattened<Awaited<U>>>;

        /** Calls `f` with each record, which goes on as it is. */
        foreach(f: (record: T) => unknown): Builder<R, T>;
        /** The same as `foreach`. */
        forEach(f: (record: T) => unknown): Builder<R, T>;

        /**
         * Lets so many records go on, then ends the reading.
         *
         * @param length - How many.
         * @param start - How many are left out before them; 0 where it is left out.
         */
        limit(length: number, start?: number): Builder<R, T>;

        /**
         * All records become one: what the last call gave. No record gives none.
         *
         * @param accumulator - Gets what it gave for the record before, `null` for the first, and the record.
         */
        accumulate<A>(accumulator: (gathered: A | null, record: T) => A | Promise<A>): Builder<R, A>;

        /**
         * One record for each key, in the order in which the keys appear.
         *
         * @param extractor - The key of a record. What is no string becomes one: objects as JSON.
         * @param reducer - Gets the key, what it gave for the record before of that key, `null` for the first, and
         *   the record.
         */
        groupby<A>(
            extractor: (record: T) => unknown,
            reducer: (key: string, gathered: A | null, record: T) => A | Promise<A>,
        ): Builder<R, Group<A>>;
        /** The same as `groupby`. */
        groupBy<A>(
            extractor: (record: T) => unknown,
            reducer: (key: string, gathered: A | null, record: T) => A | Promise<A>,
        ): Builder<R, Group<A>>;
        /** The same as `groupby`, as a library has one shard. */
        localgroupby<A>(
            extractor: (record: T) => unknown,
            reducer: (key: string, gathered: A | null, record: T) => A | Promise<A>,
        ): Builder<R, Group<A>>;
        /** The same as `localgroupby`. */
        localGroupBy<A>(
            extractor: (record: T) => unknown,
            reducer: (key: string, gathered: A | null, record: T) => A | Promise<A>,
        ): Builder<R, Group<A>>;

        /**
         * One record for each key, the key that appears last first.
         *
         * @param extractor - The key of a record, as with `groupby`.
         * @param reducer - Gets the key and all of its records.
         */
        batchgroupby<V>(
            extractor: (record: T) => unknown,
            reducer: (key: string, records: T[]) => V,
        ): Builder<R, Group<Awaited<V>>>;
        /** The same as `batchgroupby`. */
        batchGroupBy<V>(
            extractor: (record: T) => unknown,
            reducer: (key: string, records: T[]) => V,
        ): Builder<R, Group<Awaited<V>>>;

        /**
         * All records become one. No record gives none.
         *
         * @param zero - What is gathered at first: each time a copy, if it consists of arrays, plain objects, sets
         *   and maps; others are shared.
         * @param seqOp - Gets what it gave for the record before, or a zero, and the record.
         * @param combOp - Gets a zero, and what `seqOp` gave of all records.
         */
        aggregate<A>(
            zero: A,
            seqOp: (gathered: A, record: T) => A | Promise<A>,
            combOp: (gathered: A, partial: A) => A | Promise<A>,
        ): Builder<R, A>;

        /** As `aggregate`, for each key; the functions get the key first. */
        aggregateby<A>(
            extractor: (record: T) => unknown,
            zero: A,
            seqOp: (key: string, gathered: A, record: T) => A | Promise<A>,
            combOp: (key: string, gathered: A, partial: A) => A | Promise<A>,
        ): Builder<R, Group<A>>;
        /** The same as `aggregateby`. */
        aggregateBy<A>(
            extractor: (record: T) => unknown,
            zero: A,
            seqOp: (key: string, gathered: A, record: T) => A | Promise<A>,
            combOp: (key: string, gathered: A, partial: A) => A | Promise<A>,
        ): Builder<R, Group<A>>;

        /** One record: how many there are. No record gives none, not 0. */
        count(): Builder<R, number>;

        /** For each key, how many records there are; the key is the record itself where nothing is given. */
        countby(extractor?: (record: T) => unknown): Builder<R, Group<number>>;
        /** The same as `countby`. */
        countBy(extractor?: (record: T) => unknown): Builder<R, Group<number>>;

        /**
         * The records in order: numbers, strings by their UTF-16 units, or arrays of such, element by element.
         *
         * @param reverse - As in RedisGears 1: with `true`, or without it, in **ascending** order.
         */
        sort(reverse?: boolean | { readonly reverse?: boolean }): Builder<R, T>;

        /** Each record once: objects are the same if their JSON is. In order of appearance. */
        distinct(): Builder<R, T>;

        /** One record: the mean of what `extractor` gives, or of the records, as numbers. No record gives none. */
        avg(extractor?: (record: T) => unknown): Builder<R, number>;

        /** Has no effect: a library has one shard. */
        collect(): Builder<R, T>;

        /** Has no effect: a library has one shard. */
        repartition(extractor: (record: T) => unknown): Builder<R, T>;

        /**
         * Reads what is there, and has it processed. In async code, where the server's lock is not held; and once
         * in the top-level code of `RG.JSEXECUTE`, which replies with what comes of it.
         *
         * What is read is no snapshot: the server goes on between keys, and between pages of entries.
         *
         * @param arg - A glob pattern for keys, or the key of a stream; the builder's `defaultArg` where it is
         *   left out.
         * @returns Results and errors, of which the first has ended the reading. It is not rejected.
         * @throws TypeError If an argument is of a wrong type.
         * @throws Error If an argument is unknown, or it is called in another place.
         */
        run(
            arg: string | null | undefined,
            options: RunArguments[R] & { readonly convertToStr: true },
        ): Promise<[results: string[], errors: string[]]>;
        run(arg?: string | null, options?: RunArguments[R]): Promise<[results: T[], errors: string[]]>;

        /**
         * Has processed what happens from now on: events of keys, one by one, or entries of streams, those that are
         * there already first.
         *
         * Only while the library is loaded, that is, from its top-level code. The name of the registration is the
         * builder's description, or `gears:` and its number in the library; statistics and positions in streams
         * belong to it.
         *
         * @param prefix - The name of the key, or with a `*` at its end what the names begin with; `"*"` where it
         *   is left out. The builder's `defaultArg` has no say.
         * @param args - How; see {@link RegisterArguments}.
         * @throws TypeError If an argument is of a wrong type.
         * @throws Error If an argument is unknown, they exclude each other, or it is called after loading.
         */
        register(
            this: R extends keyof RegisterArguments ? Builder<R, T> : never,
            prefix?: string | null,
            args?: R extends keyof RegisterArguments ? RegisterArguments[R] : never,
        ): void;
        register(
            this: R extends keyof RegisterArguments ? Builder<R, T> : never,
            args: R extends keyof RegisterArguments ? ByName<RegisterArguments[R]> : never,
        ): void;
    }

    /**
     * Makes a {@link Builder}, with and without `new`.
     *
     * The records that the first step gets depend on what `register` or `run` is told later; where that is
     * `readValue: false` or `recordFormat: "nested"`, say so here:
     * `GearsBuilder<RedisGears.NestedEntry>("StreamReader")`.
     *
     * @param reader - Where records come from; `"KeysReader"` where it is left out.
     * @param defaultArg - What `run` reads if it is not told: `"*"` where it is left out.
     * @param desc - The name of its registrations, at most 1000 characters, and their description in
     *   `RG.DUMPREGISTRATIONS`.
     */
    interface GearsBuilderConstructor {
        <T extends KeyNote = KeyRecord>(
            reader?: "KeysReader",
            defaultArg?: string,
            desc?: string | null,
        ): Builder<"KeysReader", T>;
        <T extends FlatEntry | NestedEntry = FlatEntry>(
            reader: "StreamReader",
            defaultArg?: string,
            desc?: string | null,
        ): Builder<"StreamReader", T>;
        (reader: "KeysOnlyReader", defaultArg?: string, desc?: string | null): Builder<"KeysOnlyReader", Bytes>;
        (reader: "ShardsIDReader", defaultArg?: string, desc?: string | null): Builder<"ShardsIDReader", string>;

        new <T extends KeyNote = KeyRecord>(
            reader?: "KeysReader",
            defaultArg?: string,
            desc?: string | null,
        ): Builder<"KeysReader", T>;
        new <T extends FlatEntry | NestedEntry = FlatEntry>(
            reader: "StreamReader",
            defaultArg?: string,
            desc?: string | null,
        ): Builder<"StreamReader", T>;
        new (reader: "KeysOnlyReader", defaultArg?: string, desc?: string | null): Builder<"KeysOnlyReader", Bytes>;
        new (reader: "ShardsIDReader", defaultArg?: string, desc?: string | null): Builder<"ShardsIDReader", string>;
    }
}

/** Makes plans, as RedisGears 1 has them: see {@link RedisGears.Builder}. */
declare const GearsBuilder: RedisGears.GearsBuilderConstructor;

/** The same as `GearsBuilder`. */
declare const GB: RedisGears.GearsBuilderConstructor;

/**
 * Runs a command with the client of the callback that runs: at once where that has the server's lock, else it
 * waits for it. What has to happen together goes into {@link atomic}.
 *
 * @param command - Its name. Without any argument nothing is run, and the reply is an empty array.
 * @param args - Its other words: bytes as they are, everything else as `String()` writes it.
 * @returns As {@link RedisGears.Client.call}: integers are BigInts, `+OK` is a String object. Strings that are not
 *   UTF-8 are bytes.
 * @throws RedisError If the server refuses it.
 * @throws TypeError If the name is not a string.
 * @throws Error If no callback runs.
 */
declare function execute(): never[];
declare function execute(command: string, ...args: unknown[]): RedisGears.EitherReply;

/**
 * Calls `work` with the server's lock held: all that it does is atomic, and is replicated as one transaction.
 * Everybody waits meanwhile. It cannot be nested.
 *
 * @param work - A plain function.
 * @returns What it gives, which must not be a promise.
 * @throws Error If it is used inside of itself, or `work` returns a promise.
 * @throws What `work` throws.
 */
declare function atomic<T>(work: (() => T) & (T extends PromiseLike<unknown> ? never : unknown)): T;

/**
 * Writes a line into the server's log, behind `GEARS: `.
 *
 * @param message - The text.
 * @param level - `"notice"` where it is left out.
 * @throws TypeError If the message is not a string, or the level is none.
 */
declare function log(message: string, level?: RedisGears.LogLevel): void;

/**
 * A short text whose hash slot is the lowest of this node: a key with `{` it `}` in its name is of this node.
 * `"06S"` where there is no cluster; `null` where the node has no slots. Only while a callback runs.
 */
declare function hashtag(): string | null;

/**
 * A value of the library's configuration, that is, of `redis.config`.
 *
 * @param key - Its name.
 * @param missing - What is given where there is none, or it is null; `null` where it is left out.
 * @returns A string as it is, an array or object as JSON, everything else by `String()`.
 */
declare function gearsConfigGet(key: string): string | null;
declare function gearsConfigGet<D>(key: string, missing: D): string | D;

/** The same as `gearsConfigGet` without its second argument. */
declare function configGet(key: string): string | null;
