-- The same tables as in migrations/sqlite, column for column; a test compares them. Texts compare byte by byte there, so
-- they do here. Rows that are written often keep room for their next version on the page.
--
-- Times are Unix milliseconds. Flags are 0 or 1. BYTEAs named *_sealed are encrypted by store/vault.rs.

CREATE TABLE users (
    id              TEXT COLLATE "C" PRIMARY KEY, -- platform:platform_user
    platform        TEXT COLLATE "C" NOT NULL,
    platform_user   TEXT COLLATE "C" NOT NULL,
    name            TEXT COLLATE "C" NOT NULL,
    default_account TEXT COLLATE "C",
    created_at      BIGINT NOT NULL,
    UNIQUE (platform, platform_user)
);

-- An X account, and the lane on which its posts go one step at a time.
CREATE TABLE x_accounts (
    id                TEXT COLLATE "C" PRIMARY KEY, -- X user id
    username          TEXT COLLATE "C" NOT NULL,
    name              TEXT COLLATE "C" NOT NULL,
    avatar_url        TEXT COLLATE "C",
    tier              TEXT COLLATE "C" NOT NULL,
    profile_at        BIGINT NOT NULL,              -- when X last said all of this
    active            BIGINT NOT NULL,              -- 0 once nobody links it any more
    due_at            BIGINT,                       -- look at this lane then: work, or the end of its lease
    lease_owner       TEXT COLLATE "C",
    epoch             BIGINT NOT NULL DEFAULT 0,    -- rises with every claim; fences writes of a former holder
    current_post_id   TEXT COLLATE "C",
    transfer_user     TEXT COLLATE "C",               -- the user, when the next step moves a whole file
    token_state       TEXT COLLATE "C" NOT NULL CHECK (token_state IN ('ok', 'refreshing', 'broken')),
    tokens_sealed     BYTEA,
    scope             TEXT COLLATE "C" NOT NULL,
    access_expires_at BIGINT NOT NULL,
    token_rev         BIGINT NOT NULL DEFAULT 0,    -- rises with every new pair
    refused_at        BIGINT,                       -- when X first refused to refresh the present pair
    grant_id          TEXT COLLATE "C",             -- UUIDv7 of the authorisation that the tokens come from
    owner             TEXT COLLATE "C",             -- user who confirmed the newest grant
    updated_at        BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX x_accounts_due ON x_accounts (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX x_accounts_call ON x_accounts (due_at) WHERE due_at IS NOT NULL AND transfer_user IS NULL;
CREATE INDEX x_accounts_transfer ON x_accounts (due_at) WHERE due_at IS NOT NULL AND transfer_user IS NOT NULL;

CREATE TABLE account_links (
    user_id    TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    account_id TEXT COLLATE "C" NOT NULL REFERENCES x_accounts (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, account_id)
);
CREATE INDEX account_links_account ON account_links (account_id);

CREATE TABLE posts (
    id                 TEXT COLLATE "C" PRIMARY KEY,           -- UUIDv7
    dedupe_key         TEXT COLLATE "C" NOT NULL UNIQUE,
    request_id         TEXT COLLATE "C" NOT NULL,              -- shared by the posts that were asked for at once
    user_id            TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    account_id         TEXT COLLATE "C" NOT NULL REFERENCES x_accounts (id),
    caption            TEXT COLLATE "C" NOT NULL,
    options            TEXT COLLATE "C" NOT NULL,              -- JSON
    attachment         TEXT COLLATE "C" NOT NULL,              -- JSON
    state              TEXT COLLATE "C" NOT NULL CHECK (state IN
        ('staging', 'inspecting', 'uploading', 'processing', 'describing', 'publishing', 'posted', 'needs_user',
         'failed', 'canceled')),
    due_at             BIGINT,
    attempt            BIGINT NOT NULL DEFAULT 0,
    trouble_since      BIGINT,                        -- the first error since the last progress
    claims             BIGINT NOT NULL DEFAULT 0,              -- claims since the last thing written down
    object_key         TEXT COLLATE "C",
    bytes              BIGINT,
    sha256             TEXT COLLATE "C",
    media_type         TEXT COLLATE "C",
    duration_ms        BIGINT,
    media_id           TEXT COLLATE "C",
    media_expires_at   BIGINT,
    chunk_bytes        BIGINT,
    segments_done      BIGINT NOT NULL DEFAULT 0,
    processing_since   BIGINT,
    processing_percent BIGINT,
    sessions           BIGINT NOT NULL DEFAULT 0,              -- upload sessions begun since accepted or tried again
    refused_since      BIGINT,                                 -- when X first refused the present session
    refused_sessions   BIGINT NOT NULL DEFAULT 0,              -- sessions given up because X kept refusing them
    refetches          BIGINT NOT NULL DEFAULT 0,              -- times the file was fetched again because storage lost or damaged it
    intent_at          BIGINT,                                 -- the last attempt to post whose outcome is not known
    first_intent_at    BIGINT,                                 -- the first such attempt: looks begin there
    intents            BIGINT NOT NULL DEFAULT 0,
    resend             BIGINT NOT NULL DEFAULT 0,              -- post again if one more look finds nothing
    looks              BIGINT NOT NULL DEFAULT 0,
    x_post_id          TEXT COLLATE "C" UNIQUE,
    vouched            BIGINT NOT NULL DEFAULT 0,              -- on X by the person's word, its id unknown
    failure            TEXT COLLATE "C",                       -- JSON
    notes              TEXT COLLATE "C" NOT NULL DEFAULT '[]', -- JSON
    waiting            TEXT COLLATE "C",                       -- JSON
    place_sealed       BYTEA,                                  -- where the status is shown; nowhere when a program asked
    status_msg         TEXT COLLATE "C",                       -- JSON: chat and message id
    status_want        BIGINT NOT NULL DEFAULT 1,
    status_shown       BIGINT NOT NULL DEFAULT 0,
    status_due_at      BIGINT,
    status_not_before  BIGINT NOT NULL DEFAULT 0,
    status_attempts    BIGINT NOT NULL DEFAULT 0,
    status_deleted     BIGINT NOT NULL DEFAULT 0,              -- messages of this status that somebody deleted
    status_taken_until BIGINT NOT NULL DEFAULT 0, -- a process is writing it, until then at most
    status_epoch       BIGINT NOT NULL DEFAULT 0, -- rises when one takes it; fences one that overslept
    clean_at           BIGINT,                                 -- delete the staged file then
    counted_bytes      BIGINT NOT NULL DEFAULT 0,              -- towards its person's day: as the chat says, then as received
    price              BIGINT NOT NULL DEFAULT 0,              -- what X charges for it, in thousandths of a US dollar
    billed_at          BIGINT,                                 -- when X may have charged it: with the last attempt to post
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    CHECK (state <> 'posted' OR x_post_id IS NOT NULL OR vouched = 1),
    CHECK (state <> 'failed' OR failure IS NOT NULL),
    -- What is not over is looked at some time, unless its person has to connect the account first.
    CHECK (due_at IS NOT NULL OR state IN ('posted', 'canceled', 'failed', 'needs_user')
           OR COALESCE(waiting, '') = '{"for":"connection_ended"}'),
    -- What may be on X is never said not to be.
    CHECK (state <> 'failed' OR intent_at IS NULL)
) WITH (fillfactor = 80);
CREATE INDEX posts_lane ON posts (account_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX posts_status ON posts (status_due_at) WHERE status_due_at IS NOT NULL;
CREATE INDEX posts_clean ON posts (clean_at) WHERE clean_at IS NOT NULL;
CREATE INDEX posts_unsure ON posts (id) WHERE state = 'needs_user';
CREATE INDEX posts_failed ON posts (account_id) WHERE state = 'failed';
CREATE INDEX posts_user ON posts (user_id, id);
CREATE INDEX posts_request ON posts (request_id);
CREATE INDEX posts_object ON posts (object_key) WHERE object_key IS NOT NULL;
CREATE INDEX posts_day ON posts (user_id, created_at);
CREATE INDEX posts_under_way ON posts (user_id, state, billed_at, price) WHERE due_at IS NOT NULL;
CREATE INDEX posts_billed ON posts (billed_at, price) WHERE billed_at IS NOT NULL;

-- Every upload session that a post ever had: a post on X that carries any of them is ours.
CREATE TABLE post_media (
    media_id   TEXT COLLATE "C" PRIMARY KEY,
    post_id    TEXT COLLATE "C" NOT NULL REFERENCES posts (id),
    created_at BIGINT NOT NULL
);
CREATE INDEX post_media_post ON post_media (post_id);

CREATE TABLE media_segments (
    media_id TEXT COLLATE "C" NOT NULL REFERENCES post_media (media_id),
    segment  BIGINT NOT NULL,
    PRIMARY KEY (media_id, segment)
);

-- What a staged file was, block by block, to be compared with what is sent. By itself, since rows of posts are rewritten
-- often.
CREATE TABLE post_digests (
    post_id TEXT COLLATE "C" PRIMARY KEY REFERENCES posts (id),
    digests BYTEA NOT NULL
);

CREATE TABLE post_events (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    post_id TEXT COLLATE "C" NOT NULL REFERENCES posts (id),
    at      BIGINT NOT NULL,
    node    TEXT COLLATE "C" NOT NULL,
    epoch   BIGINT,
    kind    TEXT COLLATE "C" NOT NULL,
    detail  TEXT COLLATE "C"
);
CREATE INDEX post_events_post ON post_events (post_id);
CREATE INDEX post_events_at ON post_events (at);

-- Connections of accounts that were begun at X: it charges for each, and a person may begin so many.
CREATE TABLE charges (
    id      TEXT COLLATE "C" PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    price   BIGINT NOT NULL,                         -- in thousandths of a US dollar
    at      BIGINT NOT NULL
);
CREATE INDEX charges_user ON charges (user_id, at);
CREATE INDEX charges_at ON charges (at, price);

-- Files that people upload themselves, until they post them.
CREATE TABLE uploads (
    id           TEXT COLLATE "C" PRIMARY KEY, -- UUIDv7; the object is uploads/{id}
    user_id      TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    filename     TEXT COLLATE "C" NOT NULL,
    content_type TEXT COLLATE "C" NOT NULL,
    size         BIGINT,                       -- as declared
    part_bytes   BIGINT,                       -- of an upload in parts
    multipart_id TEXT COLLATE "C",             -- storage's name for it, until it is complete
    bytes        BIGINT,                       -- as found, once it is complete
    closed       BIGINT  NOT NULL DEFAULT 0,          -- given up by its person; takes no bytes any more
    expires_at   BIGINT NOT NULL,              -- deleted then, unless posted
    created_at   BIGINT NOT NULL
);
CREATE INDEX uploads_user ON uploads (user_id);
CREATE INDEX uploads_expiry ON uploads (expires_at);

-- Answers to requests that may be repeated (Idempotency-Key).
CREATE TABLE idempotency (
    user_id    TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    key        TEXT COLLATE "C" NOT NULL,
    body_hash  TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- One-use tickets; what opens them is never stored, only its SHA-256.
CREATE TABLE tickets (
    hash           TEXT COLLATE "C" PRIMARY KEY,
    kind           TEXT COLLATE "C" NOT NULL,
    payload_sealed BYTEA NOT NULL,
    expires_at     BIGINT NOT NULL
);
CREATE INDEX tickets_expiry ON tickets (expires_at);

-- Browsers that are signed in. The key that a browser holds is stored as its SHA-256 alone.
CREATE TABLE sessions (
    hash           TEXT COLLATE "C" PRIMARY KEY,
    id             TEXT COLLATE "C" NOT NULL UNIQUE,                -- UUIDv7; names it in lists
    user_id        TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    payload_sealed BYTEA NOT NULL,
    created_at     BIGINT NOT NULL,
    last_used_at   BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    hash         TEXT COLLATE "C" PRIMARY KEY,
    id           TEXT COLLATE "C" NOT NULL UNIQUE, -- UUIDv7; names it where the token itself must not stand
    user_id      TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    name         TEXT COLLATE "C" NOT NULL,        -- as its person called it; may be empty
    last4        TEXT COLLATE "C" NOT NULL,        -- its last letters, to be recognised by
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX api_tokens_user ON api_tokens (user_id);

-- Messages to people that no post row carries; kept until the chat has them.
CREATE TABLE notices (
    id             TEXT COLLATE "C" PRIMARY KEY,
    platform       TEXT COLLATE "C" NOT NULL,
    audience       TEXT COLLATE "C" NOT NULL,         -- everyone or asker
    api_token      TEXT COLLATE "C",                  -- the API token that it shows; ended if it is never delivered
    place_sealed   BYTEA NOT NULL,
    message_sealed BYTEA NOT NULL,
    due_at         BIGINT NOT NULL,
    taken_until    BIGINT NOT NULL DEFAULT 0, -- a process is sending it, until then at most
    attempts       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX notices_due ON notices (due_at);

-- What one process at a time does for all, by name; and which processes live.
CREATE TABLE leases (
    name   TEXT COLLATE "C" PRIMARY KEY,
    owner  TEXT COLLATE "C", -- a process, or what several share; nobody when given back
    epoch  BIGINT NOT NULL,  -- rises with every other owner
    due_at BIGINT NOT NULL   -- held until then
);

-- What X has closed for a while: `app`, `call:CALL` for every account, `account:ID:CALL` for one. And what is left of
-- the app's 24 hours: `day:CALL`, and `turn:CALL:ID` for what an account had of the last of it.
CREATE TABLE limits (
    scope  TEXT COLLATE "C" PRIMARY KEY,
    until  BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    step   TEXT COLLATE "C",         -- of `app`: the state of the post that was refused
    prober TEXT COLLATE "C",         -- of `app`: the post that tries whether it is over
    times  BIGINT NOT NULL DEFAULT 0, -- refusals in a row for which X named no time; of a `turn`, turns had
    total  BIGINT,                    -- of a `day`: how many X allows
    remaining BIGINT                  -- of a `day`: what X said is left, less what was sent since
);

-- What the operators were told and is not over.
CREATE TABLE incidents (
    name  TEXT COLLATE "C" PRIMARY KEY,
    since BIGINT NOT NULL
);

-- Where a person was last seen in a group that may use the bot; asked when they write from elsewhere.
CREATE TABLE admissions (
    user_id TEXT COLLATE "C" NOT NULL, -- platform:platform_user
    place   TEXT COLLATE "C" NOT NULL, -- the server or chat they wrote from
    via     TEXT COLLATE "C" NOT NULL, -- the group that admitted them
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, place)
);

-- People who claimed the bot with its code; the configuration names others.
CREATE TABLE operators (
    user_id    TEXT COLLATE "C" PRIMARY KEY REFERENCES users (id),
    claimed_at BIGINT NOT NULL
);

-- One row, sealed when the database was new: whoever opens the database must be able to open it.
CREATE TABLE installation (
    id          TEXT COLLATE "C" PRIMARY KEY,
    mark_sealed BYTEA NOT NULL
);
