#!py name=word_count

# Counts the words in all strings whose keys begin with "text:", and replies with the three most frequent ones. Nothing
# stays behind: it is a run, not a registration.
#
#   redis-cli SET text:1 'To be, or not to be'
#   redis-cli SET text:2 'to do'
#   redis-cli RG.PYEXECUTE "$(cat examples/python/word_count.py)"
#
# That is 3 for "to", 2 for "be", and 1 for "do", the first of those with 1.

import re


def most_frequent(words):
    """Three of them: the largest number first, and the alphabet decides between equals."""
    return sorted(words, key=lambda word: (-word[1], word[0]))[:3]


GB() \
    .filter(lambda x: x['type'] == 'string') \
    .flatmap(lambda x: re.findall(r'\w+', x['value'].lower())) \
    .countby() \
    .map(lambda x: [x['key'], x['value']]) \
    .aggregate([], lambda words, word: words + [word], lambda words, more: words + more) \
    .map(most_frequent) \
    .run('text:*', convertToStr=False)
