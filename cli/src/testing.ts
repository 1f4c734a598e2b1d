/** For tests of a library, which `gears test` runs: its server, waiting for what comes later, and fakes for units. */

import type { Redis } from 'ioredis';
import { connect as open } from './connection.js';

export type { Redis } from 'ioredis';
export type { Text } from './fakes/bytes.js';
export { fakeClient, redisError, type Answers, type Call, type FakeAsyncClient, type FakeClient, type RemoteCall } from './fakes/client.js';
export { fakeClock, type FakeClock } from './fakes/clock.js';
export { fakeEntry, fakeEvent, type FakeEntry, type FakeEvent, type FakeFields, type FakeValue } from './fakes/data.js';
export { fakeLibrary, type FakeLibrary } from './fakes/library.js';

/** A connection to the server on which `gears test` has loaded the library. Call `disconnect()` on it at the end. */
export async function connect(): Promise<Redis> {
    const url = process.env['GEARS_URL'];
    if (url === undefined) {
        throw new Error("GEARS_URL names no server: run the tests with 'gears test'");
    }
    return open({ url });
}

/**
 * Asks again and again, and gives the first answer that is something: neither false nor null nor undefined. Fails with
 * the last error, or a text, when the time is over.
 */
export async function eventually<T>(
    ask: () => T | Promise<T>,
    options: { readonly timeoutMs?: number } = {},
): Promise<Exclude<T, false | null | undefined>> {
    const timeoutMs = options.timeoutMs ?? 5000;
    // Not by `Date`, which may be a test's own.
    const deadline = performance.now() + timeoutMs;
    for (;;) {
        let problem: unknown;
        try {
            const answer = await ask();
            if (answer !== null && answer !== undefined && answer !== false) {
                return answer as Exclude<T, false | null | undefined>;
            }
        } catch (error) {
            problem = error;
        }
        if (performance.now() > deadline) {
            throw problem ?? new Error(`it did not happen within ${timeoutMs} ms`);
        }
        await new Promise(resolve => setTimeout(resolve, 10));
    }
}
