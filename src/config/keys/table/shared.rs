//! `[shared]`: the store that several gateways share. Left out, everything stays in the process.

use super::{Is, Key, Kind, Nothing, SECOND, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "shared.url",
        Kind::Url("redis://host[:port][/database], or rediss:// for TLS, without a user"),
        Nothing,
        "A Redis or Valkey, version 5 or later, that all gateways of one account share: one quota, one cache, one fetch. \
         Left out, everything stays in the process, which is right for one gateway alone.",
    ),
    key(
        "shared.username",
        Kind::Text("a user of the store's access list, printable and without blanks"),
        Nothing,
        "Its user; the default user where none is named. Needs `password_file`.",
    ),
    key(
        "shared.password_file",
        Kind::Path,
        Nothing,
        "A file with the user's password; a line break at its end is not part of it. Read again for each connection.",
    ),
    key(
        "shared.ca_file",
        Kind::Path,
        Nothing,
        "The certificate authorities (PEM) that may vouch for a `rediss://` store, in place of the built-in ones. Read again \
         for each connection.",
    ),
    key(
        "shared.client_cert_file",
        Kind::Path,
        Nothing,
        "The gateway's own certificate (PEM, with its chain) for a `rediss://` store that asks for one. Read again for each \
         connection.",
    ),
    key("shared.client_key_file", Kind::Path, Nothing, "The private key (PEM) of that certificate."),
    key(
        "shared.encryption_key_file",
        Kind::Path,
        Nothing,
        "A file with the key that URLs are sealed with before they go to the store: 32 bytes in base64 on its first line, \
         previous keys, which still open, on further lines. The same on every gateway. Read again when it changes. Without \
         it no URL goes to the store: the quota is shared, the cache is not.",
    ),
    key(
        "shared.replicas",
        Kind::Number(1, 10_000),
        Is("20"),
        "How many gateways run at a time, at most, the surge of a rolling update included. While the store is away each \
         has so small a part of the quota, in whole calls a second: too small a number lets them exceed it together, and \
         with more gateways than `rate_limit.requests_per_second` nobody calls then. The same on every gateway.",
    ),
    key(
        "shared.timeout",
        Kind::Duration(1, 10 * SECOND),
        Is("100ms"),
        "The longest that one trip to the store may take, at most a quarter of `server.request_timeout`. After three in a row \
         it counts as away until it answers again.",
    ),
];
