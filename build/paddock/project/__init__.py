"""What `paddock init` finds in a project's directory, and the files that it writes for that."""
