"""The tables.

What must be unique is unique by constraint.  A later version adds a script to
the migrations of `pycnm.engine.engine` and leaves these alone.
"""

from __future__ import annotations

TABLES = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may have a change under way; a byte of the lock file says if it lives.
CREATE TABLE makers (
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;

-- A change is here from the moment it is decided until the kernel has followed.
-- If its maker dies, it is undone, or finished when `forward` is set.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    maker INTEGER NOT NULL,
    verb TEXT NOT NULL,
    forward INTEGER NOT NULL,
    before TEXT NOT NULL DEFAULT '[]',
    -- What is published in `events` when it is done.
    events TEXT NOT NULL DEFAULT '[]'
) STRICT;

-- `arriving` and `leaving` name the change that makes or deletes the row.
CREATE TABLE networks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    -- What it shares with the other networks of its driver: a bridge, a parent.
    driver TEXT NOT NULL,
    device TEXT NOT NULL,
    -- What it needs of the host while it is realised: bits of HostNeeds.
    needs INTEGER NOT NULL DEFAULT 0,
    arriving INTEGER,
    leaving INTEGER,
    spec TEXT NOT NULL
) STRICT;

CREATE INDEX network_device ON networks (driver, device) WHERE device <> '';

-- The subnets that are a network's own on this host, as 16 bytes, big endian.
CREATE TABLE subnets (
    network INTEGER NOT NULL REFERENCES networks (number) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    first BLOB NOT NULL,
    last BLOB NOT NULL,
    PRIMARY KEY (version, first, network)
) STRICT, WITHOUT ROWID;
CREATE INDEX subnet_network ON subnets (network);

CREATE TABLE sandboxes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    arriving INTEGER,
    leaving INTEGER,
    used INTEGER NOT NULL DEFAULT 0,
    spec TEXT NOT NULL
) STRICT;
CREATE INDEX sandbox_used ON sandboxes (used) WHERE used = 1;
CREATE UNIQUE INDEX sandbox_key ON sandboxes (key) WHERE key <> '';

CREATE TABLE endpoints (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    network INTEGER NOT NULL REFERENCES networks (number),
    sandbox INTEGER REFERENCES sandboxes (number),
    interface TEXT NOT NULL DEFAULT '',
    host_interface TEXT NOT NULL DEFAULT '',
    mac TEXT,
    arriving INTEGER,
    leaving INTEGER,
    spec TEXT NOT NULL,
    UNIQUE (network, name)
) STRICT;
CREATE UNIQUE INDEX endpoint_mac ON endpoints (network, mac) WHERE mac IS NOT NULL;
CREATE UNIQUE INDEX endpoint_place ON endpoints (sandbox, network) WHERE sandbox IS NOT NULL;
CREATE UNIQUE INDEX endpoint_inside ON endpoints (sandbox, interface)
    WHERE sandbox IS NOT NULL AND interface <> '';
CREATE UNIQUE INDEX endpoint_outside ON endpoints (host_interface) WHERE host_interface <> '';

-- What is open at the sandbox's own address has that for an address, and its
-- own port with a minus: it takes none of the host's.
CREATE TABLE ports (
    protocol TEXT NOT NULL,
    port INTEGER NOT NULL,
    address TEXT NOT NULL,
    endpoint INTEGER NOT NULL REFERENCES endpoints (number) ON DELETE CASCADE,
    network INTEGER NOT NULL,
    target TEXT NOT NULL,
    target_port INTEGER NOT NULL,
    arriving INTEGER,
    leaving INTEGER,
    PRIMARY KEY (protocol, port, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX port_endpoint ON ports (endpoint);
CREATE INDEX port_network ON ports (network);

-- A port taken on every address is taken on each, and the other way round.
CREATE TRIGGER port_wildcard BEFORE INSERT ON ports
WHEN EXISTS (
    SELECT 1 FROM ports
    WHERE protocol = new.protocol AND port = new.port
      AND address = iif(new.address LIKE '%:%', '::', '0.0.0.0')
) OR new.address IN ('0.0.0.0', '::') AND EXISTS (
    SELECT 1 FROM ports
    WHERE protocol = new.protocol AND port = new.port
      AND (address LIKE '%:%') = (new.address LIKE '%:%')
)
BEGIN
    SELECT RAISE(ABORT, 'UNIQUE constraint failed: ports.address');
END;

-- Where the search for a port of a range goes on.
CREATE TABLE port_cursors (
    protocol TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    given INTEGER NOT NULL,
    PRIMARY KEY (protocol, first, last)
) STRICT, WITHOUT ROWID;

-- The plans: what the kernel holds for each owner.  While a change is under
-- way, `arriving` operations are being done and `leaving` ones undone by it.
CREATE TABLE operations (
    number INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    arriving INTEGER,
    leaving INTEGER,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX operation_owner ON operations (owner);
CREATE INDEX network_arriving ON networks (arriving) WHERE arriving IS NOT NULL;
CREATE INDEX network_leaving ON networks (leaving) WHERE leaving IS NOT NULL;
CREATE INDEX sandbox_arriving ON sandboxes (arriving) WHERE arriving IS NOT NULL;
CREATE INDEX sandbox_leaving ON sandboxes (leaving) WHERE leaving IS NOT NULL;
CREATE INDEX endpoint_arriving ON endpoints (arriving) WHERE arriving IS NOT NULL;
CREATE INDEX endpoint_leaving ON endpoints (leaving) WHERE leaving IS NOT NULL;
CREATE INDEX port_arriving ON ports (arriving) WHERE arriving IS NOT NULL;
CREATE INDEX port_leaving ON ports (leaving) WHERE leaving IS NOT NULL;
CREATE INDEX operation_arriving ON operations (arriving) WHERE arriving IS NOT NULL;
CREATE INDEX operation_leaving ON operations (leaving) WHERE leaving IS NOT NULL;

-- What was done.  The last row is never deleted, so no number is given twice.
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,  -- nanoseconds since 1970
    type TEXT NOT NULL,
    action TEXT NOT NULL,
    id TEXT NOT NULL,
    attributes TEXT NOT NULL
) STRICT;

-- Rows that could not be read, set aside so that everything else works.
CREATE TABLE quarantine (
    number INTEGER PRIMARY KEY,
    found TEXT NOT NULL,
    origin TEXT NOT NULL,
    reason TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT;
"""

DOWN = """
-- Its namespace went with the host; its endpoints, addresses and ports are kept for it.
ALTER TABLE sandboxes ADD COLUMN down INTEGER NOT NULL DEFAULT 0;
"""
