-- The hours of each series that have samples newer than their rollup. Unlike a time up to which everything is rolled up,
-- this is right whatever the wall clock did, and can be worked off in short steps.
CREATE TABLE unrolled (
    series INTEGER NOT NULL,
    hour   INTEGER NOT NULL,
    PRIMARY KEY (series, hour)
) WITHOUT ROWID;

INSERT INTO unrolled (series, hour)
SELECT DISTINCT series, at / 3600000 * 3600000 FROM sample
EXCEPT SELECT series, hour FROM hourly;

ALTER TABLE progress DROP COLUMN rolled;
