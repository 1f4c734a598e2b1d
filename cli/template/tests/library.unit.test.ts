// These tests need no server: 'gears test' runs files of such names before it starts one, 'gears test --units' alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClient, fakeEntry, fakeLibrary } from '@redisgears/cli/testing';
import { readOrder } from '../src/order';

const library = await fakeLibrary(() => import('../src/index'));

test('an order has a customer and an amount', () => {
    assert.deepEqual(readOrder([['customer', 'anna'], ['amount', '20']]), { customer: 'anna', amount: 20 });
    assert.throws(() => readOrder([['customer', 'anna']]), /a customer and a whole amount/);
});

test("an order adds to its customer's total", () => {
    const client = fakeClient({ HINCRBY: 20n });
    library.consumer('book')(client, fakeEntry('orders:web', { customer: 'anna', amount: '20' }));
    assert.deepEqual(client.calls, [['HINCRBY', 'totals', 'anna', '20']]);
});

test('who has ordered nothing has a total, too', () => {
    assert.equal(library.function('total')(fakeClient({ HGET: null }), 'totals', 'ben'), '0');
});
