#!py name=confirm

# An order waits for its payment. The step returns a gearsFuture, and its record is parked until someone continues it:
# a payment that names the order, or a cancellation. The order stays in its stream meanwhile, and nothing waits but this
# one stream.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/confirm.py)"
#   redis-cli XADD purchase:anna '*' order 17
#   redis-cli XADD payment '*' order 17 euros 20
#   redis-cli XRANGE paid - +
#   redis-cli XADD purchase:bert '*' order 18
#   redis-cli XADD payment '*' order 18 euros 0
#   redis-cli XRANGE cancelled - +

waiting = {}


def wait_for_payment(purchase):
    """Parks the purchase under the number of its order."""
    future = gearsFuture()
    waiting[purchase['order']] = future
    execute('sadd', 'waiting', purchase['order'])
    return future


def settle(payment):
    """Lets the purchase go on, with the euros that were paid."""
    future = waiting.pop(payment['order'], None)
    if future is None:
        raise Exception(f"no order {payment['order']} waits")
    execute('srem', 'waiting', payment['order'])
    if int(payment['euros']) > 0:
        future.continueRun(payment)
    else:
        execute('xadd', 'cancelled', '*', 'order', payment['order'])
        future.continueFailed(f"order {payment['order']} was cancelled")


GB('StreamReader', desc='purchases') \
    .map(wait_for_payment) \
    .foreach(lambda paid: execute('xadd', 'paid', '*', 'order', paid['order'], 'euros', paid['euros'])) \
    .register('purchase:*', onFailedPolicy='continue')
GB('StreamReader', desc='payments').foreach(settle).register('payment', onFailedPolicy='continue')
