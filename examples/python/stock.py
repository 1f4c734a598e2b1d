#!py name=stock

# Takes what is ordered out of the stock, all of an order or nothing of it. An order that cannot be fulfilled is tried
# again when there may be more, every tenth of a second: those behind it wait, so nobody overtakes.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/stock.py)"
#   redis-cli HSET stock lamp 3 chair 1
#   redis-cli XADD basket '*' lamp 2 chair 2
#   redis-cli HINCRBY stock chair 5
#   redis-cli HGETALL stock


class OutOfStock(Exception):
    pass


def take(basket):
    wanted = {item: int(count) for item, count in basket.items() if item != 'streamId'}
    with atomic():
        # Everything is looked at before anything is taken: what was written would stay, and be taken once more.
        for item, count in wanted.items():
            left = int(execute('hget', 'stock', item) or 0)
            if left < count:
                raise OutOfStock(f'{left} of {item} left, {count} wanted')
        for item, count in wanted.items():
            execute('hincrby', 'stock', item, -count)
        execute('rpush', 'shipped', basket['streamId'])


GB('StreamReader', desc='baskets').foreach(take).register('basket', onFailedRetryInterval=0.1)
