-- The body is the whole incident as JSON; the other columns are what it is looked up by. Times are milliseconds since 1970.
CREATE TABLE incident (
    id      TEXT PRIMARY KEY,
    open    INTEGER NOT NULL,
    opened  INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    body    TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX incident_open ON incident (opened) WHERE open = 1;
CREATE INDEX incident_changed ON incident (changed);

-- What people are to be told. The same notice is never recorded twice.
CREATE TABLE outbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident TEXT NOT NULL,
    kind     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    body     TEXT NOT NULL,
    UNIQUE (incident, kind)
);

-- Which channel has delivered which notice.
CREATE TABLE delivery (
    channel TEXT NOT NULL,
    notice  INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    PRIMARY KEY (channel, notice)
) WITHOUT ROWID;

CREATE INDEX delivery_notice ON delivery (notice);

-- The swarm's membership log, entry by entry, in order.
CREATE TABLE membership (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    entry    BLOB NOT NULL UNIQUE
);

-- What the node learned and must not forget, such as home; JSON.
CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
