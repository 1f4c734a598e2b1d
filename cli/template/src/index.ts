// The library's top level: it registers what the server is to run, and can do nothing else.

import { readOrder } from './order';

// Every entry of the streams whose names start with "orders:" adds to the customer's total.
redis.register_stream_consumer(
    'book',
    'orders:',
    1, // window: one entry of a stream at a time, in order
    false, // trim: leave processed entries in the stream
    (client: RedisGears.Client, data: RedisGears.StreamRecord) => {
        const order = readOrder(data.record);
        client.call('HINCRBY', 'totals', order.customer, String(order.amount));
    },
    { on_failure: 'retry', retry_interval: 200, max_attempts: 3, dead_letter: 'unbooked' },
);

// RG.FCALL @@NAME@@ total 1 totals anna
redis.register_function(
    'total',
    (client: RedisGears.Client, key: string, customer: string) => client.call('HGET', key, customer) ?? '0',
    ['no-writes'],
);
