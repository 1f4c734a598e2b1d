"""What the programs that test a server with the module share: servers, waiting, and what can be seen of libraries."""
