"""Scripts in Python."""


def execute(node, code, *options, client=None):
    """Runs a script."""
    return (client or node.client).execute_command("RG.PYEXECUTE", code, *options)


def bring(node, way, code, name="gears"):
    """Has a script register what it does, in one of the two ways there are."""
    if way == "RG.PYEXECUTE":
        assert execute(node, code, "ID", name) == "OK"
    else:
        assert node.run("RG.FUNCTION", "LOAD", f"#!py name={name}\n{code}") == "OK"
