"""Reading replies."""


def fields(flat):
    """A flat list of names and values as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
