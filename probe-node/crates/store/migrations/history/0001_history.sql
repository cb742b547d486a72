-- What is measured repeatedly: one series per thing, one row per measurement.
CREATE TABLE series (
    id     INTEGER PRIMARY KEY,
    kind   TEXT NOT NULL,
    target TEXT NOT NULL,
    family TEXT NOT NULL,
    UNIQUE (kind, target, family)
);

-- `at` is in milliseconds since 1970. A whole number in `value` takes less space than a fraction.
CREATE TABLE sample (
    series INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    value  REAL NOT NULL,
    PRIMARY KEY (series, at)
) WITHOUT ROWID;

-- What remains of the samples once the raw ones are pruned. `hour` is the first millisecond of the hour.
CREATE TABLE hourly (
    series INTEGER NOT NULL,
    hour   INTEGER NOT NULL,
    mean   REAL NOT NULL,
    low    REAL NOT NULL,
    high   REAL NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (series, hour)
) WITHOUT ROWID;

-- Facts that rarely change. `until` is null while the fact still holds.
CREATE TABLE interval (
    fact    TEXT NOT NULL,
    since   INTEGER NOT NULL,
    "until" INTEGER,
    value   TEXT NOT NULL,
    PRIMARY KEY (fact, since)
) WITHOUT ROWID;

CREATE INDEX interval_open ON interval (fact) WHERE "until" IS NULL;

-- One row: when the node last recorded anything, and up to where samples are rolled up.
CREATE TABLE progress (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    alive  INTEGER NOT NULL,
    rolled INTEGER NOT NULL
);

INSERT INTO progress (id, alive, rolled) VALUES (1, 0, 0);
