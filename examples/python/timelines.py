#!py name=timelines

# Brings each post to all who follow its author: their lists "timeline:..." get it in front, and keep the last hundred.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/timelines.py)"
#   redis-cli SADD followers:anna bert carla
#   redis-cli XADD post '*' author anna text hello
#   redis-cli LRANGE timeline:bert 0 -1

LENGTH = 100


def deliveries(post):
    """A record for each who follows."""
    text = f"{post['author']}: {post['text']}"
    return [(follower, text) for follower in sorted(execute('smembers', f"followers:{post['author']}"))]


def deliver(delivery):
    follower, text = delivery
    with atomic():
        execute('lpush', f'timeline:{follower}', text)
        execute('ltrim', f'timeline:{follower}', 0, LENGTH - 1)


GB('StreamReader').flatmap(deliveries).foreach(deliver).register('post')
