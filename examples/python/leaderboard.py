#!py name=leaderboard

# A leaderboard of the five best players: points are added up in "points", and "top" has the names of the best, best
# first, whenever one of them changes. Who comes in is announced in the stream "news".
#
#   redis-cli RG.PYEXECUTE "$(cat examples/python/leaderboard.py)"
#   redis-cli XADD game:1 '*' player anna points 30
#   redis-cli XADD game:2 '*' player bert points 40
#   redis-cli LRANGE top 0 -1

SIZE = 5


def play(entry):
    with atomic():
        execute('zincrby', 'points', entry['points'], entry['player'])
        before = execute('lrange', 'top', 0, -1)
        now = execute('zrevrange', 'points', 0, SIZE - 1)
        if now == before:
            return
        execute('del', 'top')
        execute('rpush', 'top', *now)
        for player in now:
            if player not in before:
                execute('xadd', 'news', '*', 'text', f'{player} is number {now.index(player) + 1}')


GB('StreamReader').foreach(play).register('game:*')
