"""Names of sandboxes: what a query asks, what is known, what is answered.

Nothing here has a socket or looks at a database.  `query` reads what clients
send, `view` is what one sandbox can see, `answers` says what it is told,
`upstream` is how a question is passed on, `resolvconf` is resolv.conf(5).
"""
