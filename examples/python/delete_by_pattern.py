#!py name=delete_by_pattern

# Deletes all keys that begin with "temporary:", some at a time, while the server goes on, and replies with how many
# there were.
#
#   redis-cli MSET temporary:1 a temporary:2 b other c
#   redis-cli RG.PYEXECUTE "$(cat examples/python/delete_by_pattern.py)"
#   redis-cli KEYS '*'

GB('KeysOnlyReader') \
    .map(lambda key: execute('unlink', key)) \
    .aggregate(0, lambda total, deleted: total + deleted, lambda total, more: total + more) \
    .run('temporary:*', convertToStr=False)
