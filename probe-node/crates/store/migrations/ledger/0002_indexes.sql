-- Lets a page of the newest incidents be found without reading their bodies.
CREATE INDEX incident_opened ON incident (opened, changed, open);

-- Lets old notices be found.
CREATE INDEX outbox_at ON outbox (at);

-- Up to which notice a channel has delivered all, so that those need not be looked at again.
CREATE TABLE channel (
    name            TEXT PRIMARY KEY,
    delivered_up_to INTEGER NOT NULL
) WITHOUT ROWID;
