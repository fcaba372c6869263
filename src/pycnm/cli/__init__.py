"""The `cnm` command: words in, calls of the library, text out.  It decides nothing."""
