"""Makes a list of operations shorter as long as it still fails: delta debugging."""


def shrink(items, fails, attempts):
    """The shortest list that was found, and how many attempts are left of those that were allowed.

    `fails(items)` tells whether a list still shows the fault. It drops half, then quarters and so on; what was not needed
    stays away. Where nothing more can be dropped one by one, or no attempt is left, it ends.
    """
    items = list(items)
    parts = 2
    while len(items) > 1 and attempts > 0:
        size = -(-len(items) // parts)
        for begin in range(0, len(items), size):
            if attempts == 0:
                return items, 0
            shorter = items[:begin] + items[begin + size :]
            attempts -= 1
            if shorter and fails(shorter):
                items = shorter
                parts = max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(items))
    return items, attempts
