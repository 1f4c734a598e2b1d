"""Reading replies."""


def fields(flat):
    """A flat list of names and values as a dict; for a client that speaks RESP3 it is one."""
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
