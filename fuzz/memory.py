"""Whether what a server takes stays the same from round to round: after each of them all libraries and data are gone."""

# Rounds till caches and pools have their size; the last few of them say what is usual.
WARM_UP = 6
USUAL = 3
# What may come on top in the rounds of a life, in bytes. Of a server at rest RSS goes up and down by 3 MB, its data
# (the module's own memory is a part of that) by 100 KB; a library that is not given back is 2 MB.
GROWTH = {"rss": 24 << 20, "data": 1 << 20}


class Memory:
    """What the servers of one life took after each round: by server, `rss` and `data` in bytes."""

    def __init__(self, growth=None):
        self._growth = growth or GROWTH
        self._rounds = 0
        self._usual = []

    def end_round(self):
        """A round is over; whether the next samples are judged."""
        self._rounds += 1
        return self._rounds > WARM_UP

    def learn(self, sample):
        """What was taken after a round of the warm-up."""
        self._usual = [*self._usual, sample][-USUAL:]

    def grown(self, sample):
        """What is beyond the bounds, in words."""
        return [
            f"{server}: {kind} {taken[kind] >> 10} KB, was {usual >> 10} KB"
            for server, taken in sample.items()
            for kind, growth in self._growth.items()
            if taken[kind] > (usual := max(one[server][kind] for one in self._usual)) + growth
        ]
