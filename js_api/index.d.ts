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

    /**
     * What {@link Client.call} gives for commands whose replies have the same type whatever their options are.
     * `HGETALL` of a key that is not there gives an object without fields.
     */
    interface CommonReplies {
        get: string | null;
        getdel: string | null;
        hget: string | null;
        lindex: string | null;
        rpoplpush: string | null;
        lmove: string | null;
        getex: string | null;
        incrbyfloat: string;
        hincrbyfloat: string;
        getrange: string;
        incr: bigint;
        incrby: bigint;
        decr: bigint;
        decrby: bigint;
        append: bigint;
        strlen: bigint;
        setnx: bigint;
        del: bigint;
        unlink: bigint;
        exists: bigint;
        expire: bigint;
        pexpire: bigint;
        persist: bigint;
        ttl: bigint;
        pttl: bigint;
        hset: bigint;
        hdel: bigint;
        hexists: bigint;
        hlen: bigint;
        hincrby: bigint;
        lpush: bigint;
        rpush: bigint;
        llen: bigint;
        lrem: bigint;
        sadd: bigint;
        srem: bigint;
        scard: bigint;
        sismember: bigint;
        zrem: bigint;
        zcard: bigint;
        zcount: bigint;
        xlen: bigint;
        xdel: bigint;
        xtrim: bigint;
        publish: bigint;
        zscore: number | null;
        zincrby: number;
        lrange: string[];
        hkeys: string[];
        hvals: string[];
        keys: string[];
        mget: (string | null)[];
        hmget: (string | null)[];
        smembers: Set<string>;
        sinter: Set<string>;
        sunion: Set<string>;
        sdiff: Set<string>;
        hgetall: { [field: string]: string };
        xrange: [id: string, fields: string[]][];
        xrevrange: [id: string, fields: string[]][];
    }

    /** A command of {@link CommonReplies}, in lower or upper case. */
    type CommonCommand = keyof CommonReplies | Uppercase<keyof CommonReplies>;

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

    /** Options of `once`. */
    interface OnceOptions {
        /**
         * How many of the highest IDs that are done stay known, for each consumer and stream: at least
         * the consumer's window, with `batch` as many batches. 1 to 10,000,000. Default: 10,000.
         */
        readonly keep?: number;
        /**
         * What follows where it is not known any more: `"throw"` has the entry fail, `"run"` does it
         * and notes nothing, `"skip"` leaves it. Default: `"throw"`.
         */
        readonly forgotten?: "throw" | "run" | "skip";
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
        call<C extends CommonCommand>(command: C, ...args: Argument[]): CommonReplies[Lowercase<C> & keyof CommonReplies];
        call(command: string | String, ...args: Argument[]): Reply;

        /** As `call`, but strings of the reply are given as bytes. */
        call_raw(command: string | String, ...args: Argument[]): RawReply;

        /**
         * Does something once for an entry, however often the entry is delivered: it notes in the data,
         * in the same unit as what `work` writes, that it is done. See "Once, whatever comes again" in
         * docs/stream-processing.md.
         *
         * @param record - The entry, as the callback was given it.
         * @param work - A plain function; it is called unless it was done for that entry before.
         * @returns What `work` gives; `undefined` where it was done before.
         * @throws What `work` throws: then nothing is noted.
         * @throws RedisError If it is not known any more whether that entry was done.
         */
        once<R>(record: StreamRecord, work: (client: Client) => R, options?: OnceOptions): R | undefined;

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

        /**
         * Does something once for an entry, however often the entry is delivered: it notes in the data,
         * in the same unit as what `work` writes, that it is done. See "Once, whatever comes again" in
         * docs/stream-processing.md.
         *
         * @param record - The entry, as the callback was given it.
         * @param work - A plain function; it is called with the lock, unless it was done for that entry before.
         * @returns What `work` gives; `undefined` where it was done before.
         * @throws What `work` throws: then nothing is noted.
         * @throws RedisError If it is not known any more whether that entry was done.
         */
        once<R>(record: StreamRecord, work: (client: Client) => R, options?: OnceOptions): R | undefined;

        /**
         * Calls a remote function of this library on the shard that has the slot of a key. See docs/cluster.md.
         *
         * @param key - The key; the function need not touch it.
         * @param name - The function's name, or an object with its name and the call's time.
         * @param args - What the function gets behind its client. Objects of a class become plain ones.
         * @returns A promise of what the function gives.
         * @throws RemoteError If there is no result; `may_have_run` says what is known.
         * @throws What the function throws; an `Error` has `shard` besides.
         * @throws TypeError If an argument cannot be cloned.
         */
        run_on_key<R = any, A extends readonly unknown[] = readonly AnyCloneable[]>(
            key: string | ArrayBuffer | ArrayBufferView,
            name: string | RemoteCall,
            ...args: CloneableAll<A>
        ): Promise<R>;

        /**
         * Calls a remote function of this library on every shard.
         *
         * @param name - The function's name, or an object with its name and the call's time.
         * @param args - What the function gets behind its client.
         * @returns A promise of the results and the errors: each shard is in one of the two.
         * @throws RemoteError If the function is not there, or it is not known which shards there are.
         * @throws TypeError If an argument cannot be cloned.
         */
        run_on_all_shards<R = any, A extends readonly unknown[] = readonly AnyCloneable[]>(
            name: string | RemoteCall,
            ...args: CloneableAll<A>
        ): Promise<[results: ShardResults<R>, errors: unknown[]]>;
    }

    /**
     * What a remote function can be given, and can give: `T` itself if it can be cloned, and otherwise a type that `T`
     * is not assignable to. Functions, symbols, promises, clients and objects with methods cannot be cloned.
     */
    type Cloneable<T> = 0 extends 1 & T
        ? T // any
        : unknown extends T
          ? NotCloneable
          : [AnyCloneable] extends [T]
            ? T // nothing is known of what is in it
            : CloneableOf<T>;

    /** The same for each type of a union. */
    type CloneableOf<T> = T extends CloneableValue
        ? T
        : T extends symbol | ((...args: never[]) => unknown) | (abstract new (...args: never[]) => unknown)
          ? NotCloneable
          : T extends readonly (infer V)[]
            ? CloneableList<V>
            : T extends ReadonlyMap<infer K, infer V>
              ? CloneableMap<K, V>
              : T extends ReadonlySet<infer V>
                ? CloneableSet<V>
                : T extends object
                  ? { [Name in keyof T]: Cloneable<T[Name]> }
                  : NotCloneable;

    // Interfaces, because the compiler looks into them no further than it has to: types may refer to themselves.
    interface CloneableList<V> {
        readonly [index: number]: Cloneable<V>;
    }
    interface CloneableMap<K, V> extends ReadonlyMap<Cloneable<K>, Cloneable<V>> {}
    interface CloneableSet<V> extends ReadonlySet<Cloneable<V>> {}

    /** What is cloned as it is. */
    type CloneableValue =
        | string
        | String
        | number
        | bigint
        | boolean
        | null
        | undefined
        | Date
        | RegExp
        | Error
        | ArrayBuffer
        | ArrayBufferView;

    /** Arguments that can be cloned. */
    type CloneableAll<A extends readonly unknown[]> = { [Index in keyof A]: A[Index] & Cloneable<A[Index]> };

    /**
     * An argument where the type of the result is named, as in `run_on_key<number>(...)`: TypeScript infers no type
     * beside one that is named, so what is within objects is not checked. With `const one: number = await
     * client.run_on_key(...)` it is.
     */
    type AnyCloneable =
        | CloneableValue
        | readonly AnyCloneable[]
        | ReadonlyMap<AnyCloneable, AnyCloneable>
        | ReadonlySet<AnyCloneable>
        | { readonly [name: string]: AnyCloneable }
        | (object & {
              readonly call_raw?: never;
              readonly run_on_all_shards?: never;
              readonly [Symbol.hasInstance]?: never;
              readonly [Symbol.toStringTag]?: never;
              readonly [Symbol.unscopables]?: never;
          });

    /** No value has this type: it is required of what cannot be cloned. */
    interface NotCloneable {
        readonly "this cannot be sent to another shard": never;
    }

    /** A remote function, and the time that a call of it has. */
    interface RemoteCall {
        /** The function's name. */
        readonly name: string;
        /** Milliseconds, 1 to 86,400,000. Default: the setting `remote-task-default-timeout`. */
        readonly timeout?: number;
    }

    /** What a call of a remote function gives on the shards where it did not fail. */
    interface ShardResults<R> extends Array<R> {
        /** The shard of each result. */
        readonly shards: readonly string[];
    }

    /** What a {@link RemoteError} says that a remote function has not caught, for who called it. */
    interface RemoteErrorCause {
        readonly message: string;
        readonly code: RemoteError["code"];
        readonly may_have_run: boolean;
        readonly shard?: string;
        readonly cause?: RemoteErrorCause;
    }

    /**
     * Why there is no result of a call of a remote function, unless it has thrown. There is no global of this name:
     * tell it by its `name`.
     */
    interface RemoteError extends Error {
        readonly name: "RemoteError";
        /**
         * - `"not_sent"`: it certainly has not run.
         * - `"timeout"`: its time was over.
         * - `"shard_failed"`: the shard failed while it had the call.
         * - `"thrown"`: the function has thrown what cannot come as it is: something that cannot be cloned, or a
         *   `RemoteError` about a call of its own, which is the `cause`.
         * - `"no_result"`: the function was begun with, and there is no result that can come: it was ended, or what it
         *   gave cannot be cloned or is too large.
         */
        readonly code: "not_sent" | "timeout" | "shard_failed" | "thrown" | "no_result";
        /** With `"thrown"`: what is known of the call that the function itself made, if that is why. */
        readonly cause?: RemoteErrorCause;
        /** Whether the function may have run, or still run. */
        readonly may_have_run: boolean;
        /** The shard, if one was found. */
        readonly shard?: string;
        /** The message alone, without a name in front of it. */
        toString(): string;
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
     * The callback acts as the user who loaded the library, in the stream's database.
     *
     * The entry fails if the callback throws, if its promise is rejected, or if it returns a
     * {@link PartialFailure}. The error becomes the stream's `last_error`, and the option `on_failure`
     * says what follows. By default the entry is given up, and the next one follows. {@link Failure}
     * says what an error can ask for.
     *
     * The module ends code that runs for too long: after `lock-redis-timeout` milliseconds (500 by
     * default) where the code holds the server's lock, after `background-timeout` (5000 by default)
     * elsewhere. That is a failure too.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param record - The entry.
     * @returns An {@link Outcome}, or a promise of one.
     */
    type StreamCallback<C extends Client | AsyncClient = EitherClient> = (
        client: C,
        record: StreamRecord,
    ) => [C] extends [Client] ? Outcome | Promise<Outcome> : Promise<Outcome>;

    /**
     * Gets a batch of entries of one stream, in the order of their IDs. A consumer with the option
     * `batch` has such a callback. Everything else is as with {@link StreamCallback}. If the callback
     * fails, all entries of the batch have failed, unless it names them with a {@link PartialFailure}.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param records - The entries, at least one.
     * @returns An {@link Outcome}, or a promise of one.
     */
    type BatchCallback<C extends Client | AsyncClient = EitherClient> = (
        client: C,
        records: StreamRecord[],
    ) => [C] extends [Client] ? Outcome | Promise<Outcome> : Promise<Outcome>;

    /** A string, which stands for its UTF-8 bytes, or the bytes themselves. */
    type Bytes = string | ArrayBuffer;

    /**
     * A condition on the value of a field. The value must equal a text, or fulfil any condition of a
     * list, or fulfil one of the conditions below. If an entry has several fields of that name, the
     * first one counts.
     */
    type Condition =
        | Bytes
        | readonly Condition[]
        /** The value starts with this. */
        | { readonly prefix: Bytes; readonly exists?: never; readonly not?: never }
        /** The entry has such a field (`true`), or has none (`false`). */
        | { readonly exists: boolean; readonly prefix?: never; readonly not?: never }
        /** The condition does not hold. A condition that needs the field does not hold without it. */
        | { readonly not: Condition; readonly prefix?: never; readonly exists?: never };

    /** Conditions by the name of the field; all of them must hold. */
    interface Filter {
        readonly [field: string]: Condition;
    }

    /** Pauses that grow: the n-th retry waits `initial * factor ** (n - 1)` ms, at most `max`. */
    interface Backoff {
        /** Milliseconds before the first retry. */
        readonly initial: number;
        /** The factor from each pause to the next: 1 to 100. Default: 2. */
        readonly factor?: number;
        /** The longest pause, in milliseconds. Default: 3,600,000. */
        readonly max?: number;
        /** The share of a pause that may be cut off at random: 0 to 1. Default: 0. */
        readonly jitter?: number;
    }

    /** Options that do not depend on others. */
    interface CommonOptions extends RegistrationOptions {
        /**
         * The stream that entries are added to when they are given up. Each dead letter has the fields
         * `library`, `consumer`, `stream`, `id`, `attempts`, `error`, `first_time` and `last_time`, then
         * those of the entry. The consumer itself must not match this stream. `{}` in its name stands for
         * the hash tag of the entry's stream, so that both are in one slot of a cluster.
         */
        readonly dead_letter?: Bytes;
        /**
         * What waits during a retry, and what an abort stops: the `"stream"` of the failure, or all
         * streams of the `"consumer"`. Default: `"stream"`.
         */
        readonly scope?: "stream" | "consumer";
        /**
         * For how many milliseconds the promise of a callback may be pending, from the beginning of the call
         * on: 1 to 86,400,000. Then the entry or the batch has failed, with `ERR the callback has not
         * settled within N ms`, and how the promise is settled later does not count. Default: no limit.
         */
        readonly timeout?: number;
        /**
         * Where the consumer begins in a stream that it sees for the first time: at the `"earliest"`
         * entry; at the `"latest"`, that is, with what is added from then on; or at this ID, or the next
         * one after it. Default: `"earliest"`.
         */
        readonly start?: "earliest" | "latest" | `${bigint}-${bigint}`;
        /**
         * The name of a field. The callback gets entries with the same value of that field one after
         * another, in order. Others may run side by side, within the window.
         */
        readonly order_by?: Bytes;
        /** Which entries the callback gets. All others count as done at once. */
        readonly filter?: Filter;
        /** Whether the prefix is the whole name of the key. Default: `false`. */
        readonly exact?: boolean;
    }

    /**
     * What becomes of an entry that failed. `"continue"`: it counts as done, and the next ones follow. `"abort"`:
     * nothing more is delivered until `RG.CONSUMER RESUME`. `"retry"`: it is delivered again.
     */
    type OnFailure = "continue" | "abort" | "retry";

    // Nothing is of these types. They are named by what the compiler says of an option that needs or excludes another one:
    // "Type 'number' is not assignable to type 'OnlyWithRetry'".
    const nothing: unique symbol;
    /** It does something only beside `on_failure: "retry"`. */
    interface OnlyWithRetry {
        readonly [nothing]: "retry";
    }
    /** It does something only beside `batch`. */
    interface OnlyWithBatch {
        readonly [nothing]: "batch";
    }
    /** It is the other way to say how long a retry waits. */
    interface NotWithBackoff {
        readonly [nothing]: "backoff";
    }

    /** Something that is only there with `on_failure: "retry"`. */
    type Retry<F extends OnFailure, T> = F extends "retry" ? T : OnlyWithRetry;

    /**
     * Options of a consumer.
     *
     * One type whatever is given, with the types of other options as parameters, so that what is wrong with one option is
     * said of that option alone.
     *
     * @typeParam B - The type of `batch`: `undefined` where entries come one by one.
     * @typeParam F - The type of `on_failure`.
     */
    interface ConsumerOptions<B extends number | undefined, F extends OnFailure> extends CommonOptions {
        /** How many entries the callback gets at most in one call: 1 to 10,000. Default: entries one by one. */
        readonly batch?: B;
        /**
         * For how many milliseconds a batch may wait to become full, from when its first entry was
         * seen: 0 to 86,400,000. Then it is delivered as it is. Default: 0, which delivers full batches
         * only.
         */
        readonly duration?: B extends number ? number : OnlyWithBatch;
        /** See {@link OnFailure}. Default: `"continue"`. */
        readonly on_failure?: F;
        /** How many failed attempts an entry has before it is given up: 1 to 1,000,000. Default: no limit. */
        readonly max_attempts?: Retry<F, number>;
        /** An entry is given up if it fails this many milliseconds, or more, after its first attempt began. */
        readonly max_age?: Retry<F, number>;
        /** Milliseconds before each retry: 0 to 86,400,000. Default: 1000. */
        readonly retry_interval?: Retry<F, number>;
        /** Pauses that grow, instead of `retry_interval`. */
        readonly backoff?: Retry<F, Backoff>;
        /** Whether a failed batch is halved until the entry that fails is alone. Default: `false`. */
        readonly bisect?: Retry<F, B extends number ? boolean : OnlyWithBatch>;
    }

    /** Either of the two ways to say how long a retry waits, or none. */
    type RetryPause =
        | { readonly backoff: Backoff; readonly retry_interval?: NotWithBackoff }
        | { readonly backoff?: undefined; readonly retry_interval?: number };

    /** Options that go together. */
    type RightOptions<B extends number | undefined> =
        | ConsumerOptions<B, "continue" | "abort">
        | (ConsumerOptions<B, "retry"> & RetryPause & { readonly on_failure: "retry" });

    /** Options of a consumer that gets entries one by one. */
    type StreamOptions = RightOptions<undefined>;

    /** Options of a consumer that gets batches. */
    type BatchOptions = RightOptions<number> & { readonly batch: number };

    /**
     * The module calls this on a primary once the library is live: after each load and upgrade, after a
     * restart, and when a replica becomes the primary. The callback acts as the library's owner. What it
     * throws is only logged.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     */
    type RegisteredCallback = (client: EitherClient) => unknown;

    /** Options that stream consumers and triggers have. */
    interface RegistrationOptions {
        /** The module calls this when the library begins to work on a server. */
        readonly on_registered?: RegisteredCallback;
        /** A description, at most 1000 characters. `RG.DUMPREGISTRATIONS` shows it. */
        readonly description?: string;
    }

    /** The type of a key's value; `"empty"` if the key does not exist. */
    type KeyType = "string" | "list" | "hash" | "set" | "zset" | "stream" | "module" | "empty";

    /**
     * Something that happened to a key.
     *
     * Each call of a trigger gets an object of its own. `key_raw` is made when it is read, and is not
     * enumerable: `JSON.stringify` prints the event and the key.
     */
    interface KeyEvent {
        /** The server's name for the event: `"set"`, `"hset"`, `"del"`, `"expired"`, ... */
        event: EventName;
        /** The key; `null` if it is not UTF-8. */
        key: string | null;
        /** The key as bytes. */
        readonly key_raw: ArrayBuffer;
    }

    /**
     * The key's type and value right after the event. A string that is not UTF-8 is `null`; `value_raw`
     * has its bytes. `value_raw` is not enumerable.
     */
    type KeyValue =
        | { type: "string"; value: string | null; readonly value_raw: ArrayBuffer }
        | { type: "list" | "set"; value: (string | null)[]; readonly value_raw: ArrayBuffer[] }
        | {
            type: "hash";
            /** `value_raw` alone has the fields whose names are not UTF-8. */
            value: { [field: string]: string | null };
            readonly value_raw: [field: ArrayBuffer, value: ArrayBuffer][];
        }
        | {
            type: "zset";
            /** The members in ascending order of their scores. */
            value: [member: string | null, score: number][];
            readonly value_raw: [member: ArrayBuffer, score: number][];
        }
        | { type: "stream" | "module" | "empty"; value: null; readonly value_raw: null };

    /** What the callback of a trigger with the option `read_value` gets. */
    type KeyEventWithValue = KeyEvent & KeyValue;

    /** What the callback of a trigger gets, by the type of the option `read_value`. */
    type EventWith<V extends boolean> = V extends true ? KeyEventWithValue : KeyEvent;

    /**
     * Gets an event of a key.
     *
     * - A plain function gets a {@link Client} and runs on the server's main thread, after the command
     *   that caused the event and before its reply. Clients wait meanwhile, so keep it short.
     * - A plain function that returns a promise starts there; the event is done when the promise is settled.
     * - An `async` function gets an {@link AsyncClient} and runs on a worker.
     *
     * The callback acts as the user who loaded the library, in the key's database. What it writes fires no
     * triggers. If it throws, or its promise is rejected, the failure is counted and the error becomes the
     * trigger's `last_error`. The event does not come again.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param data - The event, with what `on_trigger_fired` has added to it.
     * @returns A promise, which the module waits for, or anything else, which it ignores.
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

    /**
     * The server's name for an event: those that editors offer, and any other, since each version of the servers, and each
     * module, may have more.
     */
    type EventName =
        | "set"
        | "del"
        | "expire"
        | "expired"
        | "evicted"
        | "new"
        | "keymiss"
        | "rename_from"
        | "rename_to"
        | "copy_to"
        | "move_from"
        | "move_to"
        | "restore"
        | "persist"
        | "append"
        | "setrange"
        | "incrby"
        | "incrbyfloat"
        | "getdel"
        | "hset"
        | "hdel"
        | "hincrby"
        | "hincrbyfloat"
        | "lpush"
        | "rpush"
        | "lpop"
        | "rpop"
        | "linsert"
        | "lset"
        | "lrem"
        | "ltrim"
        | "sadd"
        | "srem"
        | "spop"
        | "sinterstore"
        | "sunionstore"
        | "sdiffstore"
        | "zadd"
        | "zincr"
        | "zrem"
        | "zremrangebyscore"
        | "zremrangebyrank"
        | "zpopmin"
        | "zpopmax"
        | "xadd"
        | "xdel"
        | "xtrim"
        | "xsetid"
        | (string & {});

    /** Options that a callback needs which gets more than the event: the value, or what `on_trigger_fired` adds. */
    type Needed<V extends boolean, D extends KeyEvent> = EventWith<V> extends D
        ? unknown
        : V extends true
            ? { readonly on_trigger_fired: unknown }
            : D extends { readonly value_raw: unknown }
                ? { readonly read_value: true }
                : { readonly on_trigger_fired: unknown };

    /** Options of a trigger. */
    interface TriggerOptions<D extends KeyEvent = KeyEvent, V extends boolean = boolean> extends RegistrationOptions {
        /** Whether the data has the key's type and value, as they were at the event. Default: `false`. */
        readonly read_value?: V;
        /** The events that fire the trigger, in upper or lower case: 1 to 1000 of them. Default: all. */
        readonly event_types?: readonly EventName[];
        /** Types that the key may have after the event. Default: all. */
        readonly key_types?: readonly KeyType[];
        /** Whether the prefix is the whole name of the key. Default: `false`. */
        readonly exact?: boolean;
        /**
         * For how many milliseconds the promise of a callback may be pending, from the beginning of the call
         * on: 1 to 86,400,000. Then the event has failed, with `ERR the callback has not settled within N
         * ms`, and how the promise is settled later does not count. Default: no limit.
         */
        readonly timeout?: number;
        /**
         * A plain function that the module calls at the event itself: in the middle of the command,
         * transaction or script, before anything else happens. It may read, but not write. What it adds to
         * the data, the callback gets. If it throws, the callback is not called.
         */
        readonly on_trigger_fired?: (client: Client, data: D) => NoPromise;
    }

    /**
     * What a function can return. A whole number of 32 bits becomes an integer, as does a BigInt; any
     * other number becomes a double. An object becomes a map, an Error an error reply. Functions and
     * symbols cannot be sent, nor can promises within other values.
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
     * The function acts as the caller, unless its option `run_as` says `"owner"`, in the caller's database.
     * What it throws becomes an error reply.
     *
     * @param client - A {@link Client} or an {@link AsyncClient}; see {@link EitherClient}.
     * @param args - The caller's arguments after `numkeys`, the keys first. If the caller passes fewer than
     *   you expect, the rest is `undefined`.
     * @returns The reply to the caller, or a promise of it.
     */
    type FunctionCallback<
        C extends Client | AsyncClient = EitherClient,
        A extends string | ArrayBuffer = string,
    > = (client: C, ...args: A[]) => [C] extends [Client] ? Result | Promise<Result> : Promise<Result>;

    /**
     * A flag of a function:
     *
     * - `"no-writes"`: the function may run on a replica, and when the server is out of memory. The
     *   server refuses its commands that write.
     * - `"allow-oom"`: the function may run, and write, when the server is out of memory.
     * - `"raw-arguments"`: the function gets its arguments as ArrayBuffers. Without this flag, a call with
     *   arguments that are not UTF-8 is refused.
     */
    type FunctionFlag = "no-writes" | "allow-oom" | "raw-arguments";

    /** Flags without `"raw-arguments"`. */
    type TextFlags = readonly ("no-writes" | "allow-oom")[];

    /** What a function's arguments are, by its flags: of a list whose flags are only known when it runs, either. */
    type ArgumentOf<F extends readonly FunctionFlag[]> = "raw-arguments" extends F[number]
        ? number extends F["length"]
            ? string | ArrayBuffer
            : ArrayBuffer
        : string;

    /** What a function asks for; see `register_function`. */
    interface FunctionOptions<F extends readonly FunctionFlag[] = TextFlags> {
        /** The function's flags. Default: none. */
        readonly flags?: F;
        /**
         * For how many milliseconds the function's promise may be pending, from the beginning of the call on:
         * 1 to 86,400,000. Then the caller gets `ERR the callback has not settled within N ms`; the code goes
         * on. Default: no limit.
         */
        readonly timeout?: number;
        /**
         * In whose name the function runs commands: that of the `"caller"`, or of the library's `"owner"`. With
         * `"owner"` whoever may call the function can do through it what the owner may, so it has to check
         * its arguments. Default: `"caller"`.
         */
        readonly run_as?: "caller" | "owner";
    }

    /**
     * A list of flags. It has none of the options: they are named so that the compiler speaks of a wrong option alone where
     * an object is given.
     */
    type FlagList<F extends readonly FunctionFlag[]> = F & {
        readonly flags?: undefined;
        readonly timeout?: number;
        readonly run_as?: "caller" | "owner";
    };

    /** The levels of the server's log. The server's setting `loglevel` says which of them are written. */
    type LogLevel = "debug" | "verbose" | "notice" | "warning";

    /** The global `redis`. */
    interface Redis {
        /**
         * The library's configuration: the JSON of `RG.FUNCTION LOAD ... CONFIG json`. Default: an empty
         * object.
         */
        readonly config: JsonObject;

        /**
         * Writes a line into the server's log, marked `<redisgears_2>`, with `[library/callback]` before the message
         * (the setting `script-log-prefix`). A long message takes several lines.
         * Line breaks and other control characters are escaped.
         *
         * @param message - The text. What exceeds 65,536 UTF-16 code units is cut off.
         * @param level - Default: `"notice"`.
         * @throws TypeError If the message is not a string, or the level is unknown.
         */
        log(message: string, level?: LogLevel): void;

        /** The version of V8, such as `"15.2.124.1-rusty"`. */
        v8_version(): string;

        // Here and below: forms with as many parameters have one signature, with the types of options as parameters. Of several
        // the compiler would say what does not match in each of them, whichever was meant.

        /**
         * Registers a function for `RG.FCALL library name numkeys [key ...] [arg ...]`.
         *
         * Can only be called while the library is loaded, that is, from its top-level code.
         *
         * @param name - The function's name, at most 1000 characters. It must be unique among the functions
         *   of the library.
         * @param callback - What is called, plain or `async`. A generator function is refused.
         * @param flags - The function's flags, or an object with options. Default: none.
         * @throws TypeError If the number of arguments or the type of one is wrong, or a flag or an option is
         *   unknown.
         * @throws Error If the name is taken in this library, the library has 10,000 functions already, or
         *   the call comes after loading.
         */
        register_function<C extends Client | AsyncClient = EitherClient>(name: string, callback: FunctionCallback<C>): void;
        register_function<C extends Client | AsyncClient = EitherClient, const F extends readonly FunctionFlag[] = readonly []>(
            name: string,
            callback: FunctionCallback<C, ArgumentOf<F>>,
            flags: FlagList<F> | FunctionOptions<F>,
        ): void;

        /**
         * The same as `register_function`, but declared for `async` functions alone: so the type of their
         * client need not be written out.
         */
        register_async_function(name: string, callback: FunctionCallback<AsyncClient>): void;
        register_async_function<const F extends readonly FunctionFlag[] = readonly []>(
            name: string,
            callback: FunctionCallback<AsyncClient, ArgumentOf<F>>,
            flags: FlagList<F> | FunctionOptions<F>,
        ): void;

        /**
         * Registers a remote function: code of this library calls it with `run_on_key` and `run_on_all_shards`, on
         * any shard. It acts in the name of whoever called.
         *
         * Can only be called while the library is loaded, that is, from its top-level code.
         *
         * @param name - The function's name, at most 1000 characters. It must be unique among the remote functions
         *   of the library.
         * @param callback - What is called. It must be an `async` function.
         * @param options - Its flags. Default: none, so it may write, and runs on primaries.
         * @throws TypeError If the number of arguments or the type of one is wrong, or an option or a flag is unknown.
         * @throws Error If the name is taken, the library has 1000 remote functions already, or the call comes after
         *   loading.
         */
        register_remote_function<T>(
            name: string,
            callback: (
                client: AsyncClient,
                ...args: any[]
            ) => Promise<T> & ([T] extends [Cloneable<T> | void] ? unknown : NotCloneable),
            options?: { readonly flags?: TextFlags },
        ): void;

        /**
         * Registers a consumer: `callback` gets every entry of every stream whose key starts with
         * `prefix`, in ascending order of their IDs, beginning with the entries that exist already.
         *
         * Can only be called while the library is loaded, that is, from its top-level code.
         *
         * @param name - The consumer's name, at most 1000 characters. It must be unique among the stream
         *   consumers of the library.
         * @param prefix - What the keys of the streams start with, at most 65,536 bytes. The prefix is not a
         *   pattern: `*` is a plain character, and `""` matches every stream. Use an ArrayBuffer, or a view
         *   of one, for bytes that are not UTF-8. An upgrade of the library cannot change the prefix.
         * @param window - How many entries of one stream may be in flight at once: a whole number, 1 to
         *   1,000,000. With 1, the entries of a stream are processed strictly one after another. With the
         *   option `batch`, the window counts batches.
         * @param trim - Whether entries are removed from the stream once every matching consumer is done
         *   with them. It is enough if one of these consumers asks for it.
         * @param callback - Gets each entry, or with the option `batch` an array of them. A generator
         *   function is refused, because nothing of its body would run.
         * @param options - A plain object that says how failures are handled, and which entries the callback
         *   gets. Options that are unknown, or have no effect beside the others, are refused. Default: none.
         * @throws TypeError If the number of arguments or the type of one is wrong, `window` is not a whole
         *   number in its range, or an option is unknown or wrong.
         * @throws Error If the name is taken in this library, the library has 1000 stream consumers already,
         *   or the call comes after loading. If the top-level code does not catch the error,
         *   `RG.FUNCTION LOAD` fails, and nothing of the library is kept.
         */
        register_stream_consumer<
            C extends Client | AsyncClient = EitherClient,
            const B extends number | undefined = undefined,
            const F extends OnFailure = "continue",
        >(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            window: number | bigint,
            trim: boolean,
            callback: [B] extends [number] ? BatchCallback<C> : StreamCallback<C>,
            options?: ConsumerOptions<B, F> & (F extends "retry" ? RetryPause : unknown),
        ): void;

        /**
         * Registers a key-space trigger: `callback` gets every event of every key that starts with
         * `prefix`, unless the options exclude the event.
         *
         * Can only be called while the library is loaded, that is, from its top-level code.
         *
         * @param name - The trigger's name, at most 1000 characters. It must be unique among the triggers of
         *   the library.
         * @param prefix - What the keys start with, at most 65,536 bytes. The prefix is not a pattern: `*` is
         *   a plain character, and `""` matches every key. Use an ArrayBuffer, or a view of one, for bytes
         *   that are not UTF-8. An upgrade of the library may change the prefix.
         * @param callback - Gets each event. A generator function is refused, because nothing of its body
         *   would run.
         * @param options - A plain object that says which events the callback gets, and with which data. With
         *   `read_value: true` the data has the key's type and value. Unknown options are refused. Default:
         *   none.
         * @throws TypeError If the number of arguments or the type of one is wrong, or an option is unknown
         *   or wrong.
         * @throws Error If the name is taken in this library, the library has 1000 triggers already, or the
         *   call comes after loading.
         */
        register_notifications_consumer<C extends Client | AsyncClient = EitherClient>(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            callback: TriggerCallback<C>,
        ): void;
        register_notifications_consumer<
            C extends Client | AsyncClient = EitherClient,
            const V extends boolean = false,
            D extends KeyEvent = EventWith<V>,
        >(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            callback: TriggerCallback<C, D>,
            options: (TriggerOptions<EventWith<V> & Partial<D>, V> & Needed<V, D>) | undefined,
        ): void;
    }
}

/** The module's interface. Each library has its own. */
declare const redis: RedisGears.Redis;


/** Types of the API of RedisGears 1: `GearsBuilder` and the functions that belong to it. */
declare namespace RedisGears {
    /** A key's type and value. */
    type KeyContent =
        | { type: "string"; value: Bytes }
        | { type: "hash"; value: { [field: string]: Bytes | null } }
        | { type: "list"; value: (Bytes | null)[] }
        | { type: "set"; value: (Bytes | null)[] }
        | { type: "zset"; value: [member: Bytes | null, score: number][] }
        | { type: "stream" | "module" | "empty"; value: null };

    /** A record of the `KeysReader` with `readValue: false`. */
    interface KeyNote {
        /** The key; bytes if it is not UTF-8. */
        key: Bytes;
        /** The event, such as `"set"`; `null` in a run. */
        event: string | null;
    }

    /** A record of the `KeysReader`. Its `type` tells the type of its `value`. */
    type KeyRecord = KeyNote & KeyContent;

    /**
     * A record of the `StreamReader`: the fields of an entry, and its ID. If the entry has a field more than
     * once, the record has the last value. A field named `streamId` hides the ID. Values that are not UTF-8
     * are bytes; fields whose names are not UTF-8 are left out.
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

    /** What {@link execute} returns: a {@link Reply}, in which strings that are not UTF-8 are bytes. */
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

    /** A map in a reply. Entries whose names are not UTF-8 are left out. */
    interface EitherReplyMap {
        [name: string]: EitherReply;
    }

    /** A record of the operators that group: there is one for each key. */
    interface Group<V> {
        key: string;
        value: V;
    }

    /** Where records come from. */
    type ReaderName = "KeysReader" | "KeysOnlyReader" | "StreamReader" | "ShardsIDReader";

    /** Arguments of RedisGears 1 that have no effect here, except `convertToStr` in a run. */
    interface CommonArguments {
        /** In a run: whether results become text, objects as JSON, others by `String()`. Default: `false`. */
        readonly convertToStr?: boolean;
        /** Has no effect: results always come back to where the run began. */
        readonly collect?: boolean;
    }

    /** Arguments of `run` that every reader has. */
    interface CommonRunArguments extends CommonArguments {
        /**
         * In a cluster: `"async"` reads all shards, and needs a builder whose steps were all made at the top level of
         * the library; `"async_local"` reads this shard alone. Default: `"async"`.
         */
        readonly mode?: "async" | "async_local";
    }

    /** The second argument of `run`. */
    interface RunArguments {
        KeysReader: CommonRunArguments & {
            /** Whether the argument is a key, not a pattern. A key that does not exist has a record, too. */
            readonly noScan?: boolean;
            /** Whether records have `value` and `type`. Default: `true`. */
            readonly readValue?: boolean;
        };
        KeysOnlyReader: CommonRunArguments & {
            /** Whether the argument is a key, not a pattern. A key that does not exist has no record. */
            readonly noScan?: boolean;
            /** The `COUNT` of each `SCAN`: 1 to 10,000. Default: 1000. */
            readonly count?: number;
        };
        StreamReader: CommonRunArguments & {
            /** The run reads the entries after this ID. Default: all entries. */
            readonly fromId?: string;
            /** The form of the records. Default: `"flat"`. */
            readonly recordFormat?: "flat" | "nested";
        };
        ShardsIDReader: CommonRunArguments;
    }

    /** Arguments of `register` that every reader has. */
    interface CommonRegisterArguments extends CommonArguments {
        /**
         * The module calls this, without arguments, when the registration begins to work: after a load and an
         * upgrade, after a restart, and when a replica becomes the primary. What it throws is only logged.
         */
        readonly onRegistered?: () => unknown;
        /** The same as `onRegistered`. */
        readonly OnRegistered?: () => unknown;
        /** The form of a stream's records. Default: `"flat"`. */
        readonly recordFormat?: "flat" | "nested";
    }

    /**
     * Where the steps run. `"async"`: on a worker; in a cluster, steps behind `repartition`, `groupby` and the like run
     * on the shards that have the keys. `"async_local"`: on a worker of the shard where the event was. `"sync"`: on the server's main thread, before the client gets its reply; no step may return a promise.
     * Default: `"async"`.
     */
    type RegisterMode = "async" | "async_local" | "sync";

    /** Arguments of `register` beside the prefix. */
    interface RegisterArguments {
        KeysReader: CommonRegisterArguments & {
            readonly mode?: RegisterMode;
            /** Events, such as `"set"`, in upper or lower case. Default: all. */
            readonly eventTypes?: readonly EventName[];
            /** Types that the key may have after the event. Default: all. */
            readonly keyTypes?: readonly KeyType[];
            /** Whether records have `value` and `type`. Default: `true`. */
            readonly readValue?: boolean;
            /** Has no effect. */
            readonly noScan?: boolean;
        };
        StreamReader: CommonRegisterArguments & {
            /** How many entries one execution gets: 1 to 10,000. Default: 1. */
            readonly batch?: number;
            /**
             * For how many milliseconds a batch may wait to become full: 0 to 86,400,000. Then it is processed
             * as it is. Default: 0, which processes full batches only.
             */
            readonly duration?: number;
            /** Seconds before a retry: 0 to 86,400, with fractions. Default: 1. */
            readonly onFailedRetryInterval?: number;
            /** Whether entries are removed once every consumer is done with them. Default: `true`. */
            readonly trimStream?: boolean;
        } & (
            | {
                readonly mode?: "async" | "async_local";
                /**
                 * What follows when a step throws; in upper or lower case. `"retry"`: the batch is processed
                 * again, and all streams of the registration wait. `"abort"`: nothing more is processed.
                 * `"continue"`: the batch counts as done, and the records after the error are processed.
                 * Default: `"retry"`.
                 */
                readonly onFailedPolicy?: AnyCase<"retry" | "abort" | "continue">;
            }
            | { readonly mode: "sync"; readonly onFailedPolicy?: AnyCase<"continue"> }
        );
    }

    /** A word in lower case, in upper case, or capitalized. */
    type AnyCase<W extends string> = W | Uppercase<W> | Capitalize<W>;

    /** The keys of a registration: an exact name, or a prefix with a `*` at its end. Default: `"*"`. */
    type ByName<A> = A & (
        | { readonly prefix?: string; readonly regex?: never }
        /** The same as `prefix`. */
        | { readonly regex: string; readonly prefix?: never }
    );

    /** The records that `flatmap` makes of a result: the elements of an array, or the value itself. */
    type Flattened<V> = V extends readonly (infer E)[] ? E : V;

    /**
     * A plan: where records come from, and which steps they go through. Every operator adds a step to the builder
     * and returns the builder. Nothing happens before {@link Builder.run} or {@link Builder.register}; steps that
     * are added afterwards do not affect these.
     *
     * Functions may be `async`, except in mode `"sync"`. Records are processed one after another. If a function
     * throws, the execution has an error instead of that record, and reads nothing more.
     *
     * Names are those of RedisGears 1. Names of several words have a camel-case form as well.
     *
     * @typeParam R - The reader.
     * @typeParam T - What the next step gets.
     */
    interface Builder<R extends ReaderName, T> {
        /** Replaces each record by what `f` returns for it. */
        map<U>(f: (record: T) => U): Builder<R, Awaited<U>>;

        /** Keeps the records for which `f` returns a truthy value. */
        filter<U extends T>(f: (record: T) => record is U): Builder<R, U>;
        filter(f: (record: T) => unknown): Builder<R, T>;

        /**
         * Replaces each record by what `f` returns for it. Of an array, each element becomes a record, **the last
         * one first**. Anything else, other collections included, becomes one record.
         */
        flatmap<U>(f: (record: T) => U): Builder<R, Flattened<Awaited<U>>>;
        /** The same as `flatmap`. */
        flatMap<U>(f: (record: T) => U): Builder<R, Flattened<Awaited<U>>>;

        /** Calls `f` with each record, and keeps the record as it is. */
        foreach(f: (record: T) => unknown): Builder<R, T>;
        /** The same as `foreach`. */
        forEach(f: (record: T) => unknown): Builder<R, T>;

        /**
         * Keeps `length` records, then ends the reading.
         *
         * @param length - How many records are kept.
         * @param start - How many records are skipped before them. Default: 0.
         */
        limit(length: number, start?: number): Builder<R, T>;

        /**
         * Reduces all records to one: what `accumulator` returned last. Without records, there is none.
         *
         * @param accumulator - Gets what it returned for the previous record (`null` at first), and the record.
         */
        accumulate<A>(accumulator: (gathered: A | null, record: T) => A | Promise<A>): Builder<R, A>;

        /**
         * Makes one record for each key, in the order in which the keys appear.
         *
         * @param extractor - Returns the key of a record. If that is not a string, it becomes one: objects as JSON.
         * @param reducer - Gets the key, what it returned for the previous record of that key (`null` at first),
         *   and the record.
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
        /** The same as `groupby`, for the records of each shard by themselves. */
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
         * Makes one record for each key. The key that appears last comes first.
         *
         * @param extractor - Returns the key of a record, as with `groupby`.
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
         * Reduces all records to one. Without records, there is none.
         *
         * @param zero - The initial value. Arrays, plain objects, sets and maps are copied each time; anything else
         *   is shared.
         * @param seqOp - Gets what it returned for the previous record (the initial value at first), and the record.
         * @param combOp - Gets the initial value, and what `seqOp` returned for all records.
         */
        aggregate<A>(
            zero: A,
            seqOp: (gathered: A, record: T) => A | Promise<A>,
            combOp: (gathered: A, partial: A) => A | Promise<A>,
        ): Builder<R, A>;

        /** Does the same as `aggregate`, but for each key. The functions get the key as their first argument. */
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

        /** Makes one record: the number of records. Without records, there is none, not even 0. */
        count(): Builder<R, number>;

        /** Counts the records of each key. Without an `extractor`, the key is the record itself. */
        countby(extractor?: (record: T) => unknown): Builder<R, Group<number>>;
        /** The same as `countby`. */
        countBy(extractor?: (record: T) => unknown): Builder<R, Group<number>>;

        /**
         * Sorts the records: numbers, strings by their UTF-16 code units, or arrays of these, element by element.
         *
         * @param reverse - As in RedisGears 1, `true` sorts in **ascending** order. Default: `true`.
         */
        sort(reverse?: boolean | { readonly reverse?: boolean }): Builder<R, T>;

        /** Keeps each record once, in order of appearance. Objects are equal if their JSON is. */
        distinct(): Builder<R, T>;

        /** Makes one record: the mean of what `extractor` returns, or of the records. Without records, none. */
        avg(extractor?: (record: T) => unknown): Builder<R, number>;

        /** In a cluster, has the records of all shards go on where the execution began. */
        collect(): Builder<R, T>;

        /** In a cluster, has each record go on at the shard that has the slot of what `extractor` returns. */
        repartition(extractor: (record: T) => unknown): Builder<R, T>;

        /**
         * Reads what exists now, and processes it. Can be called in async code, where the server's lock is not held,
         * and once in the top-level code of `RG.JSEXECUTE`, which replies with the results.
         *
         * The records are not a snapshot: the server serves other clients between keys, and between pages of entries.
         *
         * @param arg - A glob pattern for keys, or the key of a stream. Default: the builder's `defaultArg`.
         * @returns Results and errors. The first error has ended the reading. The promise is never rejected.
         * @throws TypeError If an argument has the wrong type.
         * @throws Error If an argument is unknown, or the call comes from another place.
         */
        run(
            arg: string | null | undefined,
            options: RunArguments[R] & { readonly convertToStr: true },
        ): Promise<[results: string[], errors: string[]]>;
        run(arg?: string | null, options?: RunArguments[R]): Promise<[results: T[], errors: string[]]>;

        /**
         * Processes what happens from now on: events of keys, one by one, or entries of streams, beginning with those
         * that exist already.
         *
         * Can only be called while the library is loaded, that is, from its top-level code. The name of the
         * registration is the builder's description, or `gears:` and its number in the library. Statistics and
         * positions in streams belong to that name.
         *
         * @param prefix - The name of the key, or a prefix with a `*` at its end. Default: `"*"`. The builder's
         *   `defaultArg` is not used.
         * @param args - Further arguments; see {@link RegisterArguments}.
         * @throws TypeError If an argument has the wrong type.
         * @throws Error If an argument is unknown, if two exclude each other, or if the call comes after loading.
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
     * The arguments of `register` and `run` decide which records the first step gets. If these are
     * `readValue: false` or `recordFormat: "nested"`, name the type here:
     * `GearsBuilder<RedisGears.NestedEntry>("StreamReader")`.
     *
     * @param reader - Where records come from. Default: `"KeysReader"`.
     * @param defaultArg - What `run` reads if it has no argument. Default: `"*"`.
     * @param desc - The name of the builder's registrations, at most 1000 characters. It is also their description
     *   in `RG.DUMPREGISTRATIONS`.
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

/** Makes plans as in RedisGears 1: see {@link RedisGears.Builder}. */
declare const GearsBuilder: RedisGears.GearsBuilderConstructor;

/** The same as `GearsBuilder`. */
declare const GB: RedisGears.GearsBuilderConstructor;

/**
 * Runs a command with the client of the current callback. If that client does not hold the server's lock, the call
 * waits for the lock. Use {@link atomic} for commands that have to happen together.
 *
 * @param command - The command's name. Without any argument nothing runs, and the reply is an empty array.
 * @param args - The command's arguments: bytes as they are, everything else as `String()` writes it.
 * @returns The reply, as {@link RedisGears.Client.call} returns it: integers are BigInts, `+OK` is a String object.
 *   Strings that are not UTF-8 are bytes.
 * @throws RedisError If the server refuses the command.
 * @throws TypeError If the name is not a string.
 * @throws Error If no callback runs.
 */
declare function execute(): never[];
declare function execute(command: string, ...args: unknown[]): RedisGears.EitherReply;

/**
 * Calls `work` with the server's lock held: all that `work` does is atomic, and is replicated as one transaction.
 * Every client waits meanwhile. Calls cannot be nested.
 *
 * @param work - A plain function.
 * @returns What `work` returns, which must not be a promise.
 * @throws Error If the call is within another `atomic`, or `work` returns a promise.
 * @throws What `work` throws.
 */
declare function atomic<T>(work: (() => T) & (T extends PromiseLike<unknown> ? never : unknown)): T;

/**
 * Writes a line into the server's log, behind `GEARS: `.
 *
 * @param message - The text.
 * @param level - Default: `"notice"`.
 * @throws TypeError If the message is not a string, or the level is unknown.
 */
declare function log(message: string, level?: RedisGears.LogLevel): void;

/**
 * Returns a short text whose hash slot is the lowest one of this node: a key with `{`*text*`}` in its name belongs to
 * this node. Outside a cluster the text is `"06S"`. Can only be called while a callback runs.
 *
 * @throws Error If this node has no slots.
 */
declare function hashtag(): string;

/**
 * Returns a value of the library's configuration, that is, of `redis.config`.
 *
 * @param key - The value's name.
 * @param missing - What to return if there is no such value, or it is null. Default: `null`.
 * @returns A string as it is, an array or object as JSON, everything else by `String()`.
 */
declare function gearsConfigGet(key: string): string | null;
declare function gearsConfigGet<D>(key: string, missing: D): string | D;

/** The same as `gearsConfigGet` without its second argument. */
declare function configGet(key: string): string | null;
