#!py name=session_expiry

# Sessions that end by themselves: each write to "session:..." gives the session another half hour, and when its time
# is over the stream "ended" says whose it was. The name is kept beside it, since an expired key has no value any more.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/session_expiry.py)"
#   redis-cli HSET session:4711 user anna
#   redis-cli TTL session:4711
#   redis-cli PEXPIRE session:4711 1
#   redis-cli XRANGE ended - +

HALF_AN_HOUR = 30 * 60


def prolong(x):
    """The time begins anew, and the user is known."""
    execute('expire', x['key'], HALF_AN_HOUR)
    user = x['value'].get('user')
    if user is not None:
        execute('hset', 'users-of-sessions', x['key'], user)


def end(x):
    """Says who is gone, and in which way."""
    user = execute('hget', 'users-of-sessions', x['key'])
    execute('hdel', 'users-of-sessions', x['key'])
    execute('xadd', 'ended', '*', 'user', user or '?', 'why', 'expired' if x['event'] == 'expired' else 'left')


GB(desc='prolong').foreach(prolong).register('session:*', mode='sync', eventTypes=['hset'], keyTypes=['hash'])
GB(desc='end').foreach(end).register('session:*', mode='sync', eventTypes=['expired', 'del'])
