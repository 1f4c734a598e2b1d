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
     * The first argument of a callback. It has no members yet: it keeps the place of what will let
     * callbacks run Redis commands.
     */
    interface StreamClient {}

    /**
     * Gets one entry of a stream.
     *
     * - A plain function runs on the server's main thread; the entry is done when it returns.
     *   Clients wait meanwhile, so keep it short.
     * - A plain function that returns a promise starts there; the entry is done when the promise is
     *   settled.
     * - An `async` function runs on a worker; the entry is done when its promise is settled.
     *
     * An exception or a rejection ends the entry too: it is kept as the stream's `last_error`, and the
     * next entry follows. A callback that wants another attempt makes it itself.
     *
     * Code that does not come to an end is ended after `lock-redis-timeout` milliseconds (500 unless
     * configured otherwise); the entry counts as failed.
     *
     * @param client - Without members in this release.
     * @param record - The entry.
     * @returns A promise is waited for; everything else is ignored.
     */
    type StreamCallback = (client: StreamClient, record: StreamRecord) => unknown;

    /** The global `redis`. */
    interface Redis {
        /**
         * What was given with `RG.FUNCTION LOAD ... CONFIG json`; an empty object where nothing was.
         */
        readonly config: JsonObject;

        /**
         * Writes a line into the server's log, at level notice and marked `<redisgears_2>`. A long
         * message goes on in further lines; line breaks and other control characters are shown escaped.
         *
         * @param message - The text; of more than 65,536 UTF-16 units the rest is cut off.
         * @throws TypeError If there is not exactly one argument, or it is not a string.
         */
        log(message: string): void;

        /** The version of V8, such as `"15.2.124.1-rusty"`. */
        v8_version(): string;

        /**
         * Registers a consumer: `callback` gets every entry of every stream whose key starts with
         * `prefix`, including the entries that are there already, in ascending order of their IDs.
         *
         * Only while the library is loaded, that is, from its top-level code.
         *
         * @param name - The consumer's name, at most 1000 characters; unique among the stream consumers of
         *   the library.
         * @param prefix - What the keys of the streams start with. No pattern: `*` is a plain character,
         *   and `""` matches every stream. At most 65,536 bytes. Bytes that are not UTF-8 are given as an ArrayBuffer or a
         *   view of one. An upgrade of the library cannot change it.
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
        register_stream_consumer(
            name: string,
            prefix: string | ArrayBuffer | ArrayBufferView,
            window: number | bigint,
            trim: boolean,
            callback: StreamCallback,
        ): void;
    }
}

/** The module's interface. Each library has its own. */
declare const redis: RedisGears.Redis;
