"""Reading other programs' files: each format's parser, and what its contents mean as tasks and events."""
