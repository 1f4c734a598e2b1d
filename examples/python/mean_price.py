#!py name=mean_price

# The mean of all prices in a stream, without taking anything out of it.
#
#   redis-cli XADD price '*' euros 20
#   redis-cli XADD price '*' euros 45.5
#   redis-cli RG.PYEXECUTE "$(cat examples/python/mean_price.py)"
#
# That is 32.75.

GB('StreamReader').avg(lambda entry: float(entry['euros'])).run('price')
