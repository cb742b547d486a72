-- For how many milliseconds the node has run, in all its runs together.
ALTER TABLE progress ADD COLUMN ran INTEGER NOT NULL DEFAULT 0;

-- The earliest time the wall clock showed on each day of running time (`ran` / 86400000).
CREATE TABLE running_day (
    day      INTEGER PRIMARY KEY,
    earliest INTEGER NOT NULL
);
