#!py name=priority_queue

# A queue in which urgent tasks overtake: what comes in by the stream "task" is put into order by urgency, then by age, and
# "next" always has the three that come next.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/priority_queue.py)"
#   redis-cli XADD task '*' name tidy urgency 1
#   redis-cli XADD task '*' name fire urgency 9
#   redis-cli LRANGE next 0 -1

import heapq
import itertools

queue = []
number = itertools.count()


def push(task):
    heapq.heappush(queue, (-int(task['urgency']), next(number), task['name']))
    with atomic():
        execute('del', 'next')
        execute('rpush', 'next', *[name for _, _, name in heapq.nsmallest(3, queue)])


GB('StreamReader').foreach(push).register('task')
