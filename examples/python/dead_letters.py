#!py name=dead_letters

# Tries each job three times, then puts it aside: the stream "dead" has the job with the last error, and the others go on.
# The number of tries is kept in Redis, so a restart does not begin anew.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/dead_letters.py)"
#   redis-cli XADD job '*' a 12 b 4
#   redis-cli XADD job '*' a 1 b 0
#   redis-cli XADD job '*' a 9 b 3
#   redis-cli LRANGE quotients 0 -1
#   redis-cli XRANGE dead - +

TRIES = 3


def work(job):
    execute('rpush', 'quotients', str(int(job['a']) / int(job['b'])))


def attempt(job):
    key = f"tries:{job['streamId']}"
    tries = execute('incr', key)
    try:
        work(job)
    except Exception as error:
        if tries < TRIES:
            raise
        execute('xadd', 'dead', '*', 'job', str(job), 'error', f'{type(error).__name__}: {error}', 'tries', tries)
    execute('del', key)


GB('StreamReader').foreach(attempt).register('job', onFailedPolicy='retry', onFailedRetryInterval=0.05)
