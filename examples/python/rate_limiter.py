#!py name=rate_limiter

# Lets each user make five requests in ten seconds: those go on to the stream "accepted", others to "refused". The
# window slides. What counts is when a request was added, so a backlog is judged as if it had been judged at once. Sync:
# when XADD is answered, it is decided.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/rate_limiter.py)"
#   for n in 1 2 3 4 5 6; do redis-cli XADD request '*' user anna what $n; done
#   redis-cli XLEN accepted
#   redis-cli XRANGE refused - +

LIMIT = 5
WINDOW_MS = 10_000


def decide(request):
    user, now = request['user'], int(request['streamId'].split('-')[0])
    key = f'requests:{user}'
    execute('zremrangebyscore', key, '-inf', now - WINDOW_MS)
    if execute('zcard', key) >= LIMIT:
        execute('xadd', 'refused', '*', 'user', user, 'what', request['what'])
        return
    execute('zadd', key, now, request['streamId'])
    execute('pexpire', key, WINDOW_MS)
    execute('xadd', 'accepted', '*', 'user', user, 'what', request['what'])


GB('StreamReader').foreach(decide).register('request', mode='sync')
