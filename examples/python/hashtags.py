#!py name=hashtags

# What people talk about: the hashtags of each message, whatever their case, counted in the sorted set of its hour, which
# is gone after a day.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/hashtags.py)"
#   redis-cli XADD message '*' text 'Streams in #Redis are #fun, #redis is too'
#   redis-cli KEYS 'tags:*'

import re

TAG = re.compile(r'#(\w+)')
HOUR_MS = 60 * 60 * 1000
DAY = 24 * 60 * 60


def tags(message):
    hour = int(message['streamId'].split('-')[0]) // HOUR_MS
    return [(hour, tag) for tag in {tag.lower() for tag in TAG.findall(message['text'])}]


def count(found):
    hour, tag = found
    with atomic():
        execute('zincrby', f'tags:{hour}', 1, tag)
        execute('expire', f'tags:{hour}', DAY)


GB('StreamReader').flatmap(tags).foreach(count).register('message')
