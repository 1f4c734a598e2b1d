// 'gears test' starts a server, loads the library there, and runs this file.

import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { connect, eventually } from '@redisgears/cli/testing';

const redis = await connect();
beforeEach(() => redis.flushall());
after(() => redis.disconnect());

test('orders add up', async () => {
    await redis.xadd('orders:web', '*', 'customer', 'anna', 'amount', '20');
    await redis.xadd('orders:shop', '*', 'customer', 'anna', 'amount', '22');
    await eventually(async () => (await redis.hget('totals', 'anna')) === '42');
    assert.equal(await redis.call('RG.FCALL', '@@NAME@@', 'total', 1, 'totals', 'anna'), '42');
});

test('an order that cannot be booked is put aside', async () => {
    await redis.xadd('orders:web', '*', 'customer', 'anna', 'amount', 'much');
    const letters = await eventually(async () => {
        const found = await redis.xrange('unbooked', '-', '+');
        return found.length > 0 && found;
    });
    assert.equal(letters.length, 1);
    assert.equal(await redis.hget('totals', 'anna'), null);
});
