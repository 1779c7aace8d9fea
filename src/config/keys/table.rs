//! The list itself, in the order of the documentation. Defaults are those of the contract with our users: a change here
//! changes the product.

mod shared;
mod tencent;

use super::{
    Key, Kind,
    Otherwise::{self, Is, Nothing, Required},
};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

const ADDRESS: Kind = Kind::Text("an IP address with a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"");

const fn key(path: &'static str, kind: Kind, otherwise: Otherwise, meaning: &'static str) -> Key {
    Key { path, kind, otherwise, meaning }
}

/// Every key that this version knows.
pub(in crate::config) fn all() -> impl Iterator<Item = &'static Key> {
    [FIRST, tencent::KEYS, REST, shared::KEYS, LAST].into_iter().flatten()
}

/// The keys before `[tencent]`.
const FIRST: &[Key] = &[
    key("server.listen", ADDRESS, Is("0.0.0.0:8080"), "The public listener."),
    key(
        "server.admin_listen",
        ADDRESS,
        Is("127.0.0.1:9090"),
        "The listener for `/healthz`, `/readyz` and `/metrics`. Keep it away from callers.",
    ),
    key(
        "server.workers",
        Kind::Number(0, 1024),
        Is("0"),
        "Worker threads; 0 is one for each processor that the process may use, by affinity and quota, rounded down.",
    ),
    key("server.request_timeout", Kind::Duration(10, 10 * MINUTE), Is("10s"), "The longest that a request may take."),
    key(
        "server.drain_delay",
        Kind::Duration(0, 10 * MINUTE),
        Is("5s"),
        "After SIGTERM: not ready, but still accepting, so that load balancers notice in time.",
    ),
    key(
        "server.shutdown_grace",
        Kind::Duration(0, HOUR),
        Is("30s"),
        "After that: how long requests in flight may take to end.",
    ),
    key(
        "server.trusted_proxies",
        Kind::Texts("[\"10.0.0.0/8\"]", "a network such as \"10.0.0.0/8\", or \"10.0.0.1/32\" for one address"),
        Is("[]"),
        "Networks whose `Forwarded` and `X-Forwarded-For` are believed.",
    ),
    key(
        "server.tls.cert_file",
        Kind::Path,
        Nothing,
        "The public listener's certificate in PEM, that of its issuer behind it, and so on. With this section the listener \
         speaks HTTPS alone (TLS 1.2 and 1.3), and `key_file` must be set, too. All files of the section are read again \
         when they change and on SIGHUP; what has a mistake, or is not valid now, leaves the old in force.",
    ),
    key(
        "server.tls.key_file",
        Kind::Path,
        Nothing,
        "The private key of that certificate, in PEM and without a passphrase: PKCS#8, PKCS#1 or SEC1; RSA from 2048 bits, \
         ECDSA or Ed25519.",
    ),
    key(
        "server.tls.client_ca_file",
        Kind::Path,
        Nothing,
        "Certificate authorities (PEM). Each client must show a certificate that one of them issued, on every route of the \
         public listener, beside its token; nobody else completes a handshake. When they change, connections that were \
         begun under the old ones end with their next answer.",
    ),
    key(
        "cors.allowed_origins",
        Kind::Texts(
            "[\"https://dashboard.example.internal\"]",
            "an origin as browsers write it, such as \"https://dashboard.example.internal\": scheme and host in lower \
             case, the port only where it is not the scheme's own, nothing behind it",
        ),
        Is("[]"),
        "Web pages of these origins may use the API from a browser, with a token of their own. Compared exactly.",
    ),
    key(
        "auth.leeway",
        Kind::Duration(0, 10 * MINUTE),
        Is("30s"),
        "Tolerated difference of clocks for `exp`, `nbf` and `iat`.",
    ),
    key(
        "auth.max_token_life",
        Kind::Duration(SECOND, 365 * DAY),
        Is("24h"),
        "A token that is valid for longer than this from now on is refused.",
    ),
    key(
        "auth.jwks_refresh",
        Kind::Duration(100, DAY),
        Is("5m"),
        "The time between two refreshes of a key set in the background.",
    ),
    key(
        "auth.jwks_cooldown",
        Kind::Duration(100, HOUR),
        Is("10s"),
        "The least time between two fetches of a key set that unknown key ids cause.",
    ),
    key(
        "auth.jwks_max_stale",
        Kind::Duration(SECOND, 30 * DAY),
        Is("24h"),
        "How long keys count after the last fetch that brought them. Beyond it the issuer's tokens are answered with 503.",
    ),
    key(
        "auth.revoked_file",
        Kind::Path,
        Nothing,
        "What is accepted no more: lines `jti:<issuer name>:<jti>`, `sub:<issuer name>:<sub>`, `kid:<issuer name>:<kid>`, \
         blank lines, and comments behind `#`. Read again when it changes, and on SIGHUP. What is added takes effect \
         within a second, on tokens that were accepted before, too; what is taken out, when the file has stayed the same \
         for five seconds, or on SIGHUP. Write the new list beside it and rename it: a list that is half written when the \
         gateway starts is the list. A file with a mistake keeps the list before it in force.",
    ),
    key("auth.issuers", Kind::Tables("[[auth.issuers]]"), Required, "Whose tokens are accepted. In the file only."),
    key(
        "auth.issuers[].name",
        Kind::Text("a name that matches [a-z0-9][a-z0-9_-]{0,31}"),
        Required,
        "Names the issuer in metrics, logs and audit. Unique.",
    ),
    key(
        "auth.issuers[].prefix",
        Kind::Text("at most 64 printable characters without blanks"),
        Is(""),
        "Stands before `sub` and groups in policies. Unique, at most one empty, and no other begins with it, so that \
         two issuers never mean the same user. An issuer whose prefix is empty cannot name users and groups that begin \
         with another's.",
    ),
    key(
        "auth.issuers[].issuer",
        Kind::Url("the exact value of the claim `iss`, 1 to 1024 printable characters without blanks"),
        Required,
        "The exact value of the claim `iss`. Unique.",
    ),
    key(
        "auth.issuers[].audiences",
        Kind::Texts("[\"redis-backup-gateway\"]", "a value of the claim `aud`, not empty"),
        Required,
        "A token must be meant for one of these (claim `aud`).",
    ),
    key(
        "auth.issuers[].algorithms",
        Kind::Texts(
            "[\"RS256\", \"ES256\", \"EdDSA\"]",
            "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA",
        ),
        Is("[\"RS256\", \"ES256\", \"EdDSA\"]"),
        "The signature algorithms that this issuer uses. Asymmetric ones only; with `hs256_secret_file` it is HS256 alone.",
    ),
    key(
        "auth.issuers[].jwks_url",
        Kind::Url("an https URL without a user; plain http only to loopback addresses"),
        Nothing,
        "Where the key set is fetched. Without it, `jwks_file` and `hs256_secret_file` it is found by OpenID Connect \
         discovery, at `<issuer>/.well-known/openid-configuration`.",
    ),
    key(
        "auth.issuers[].jwks_file",
        Kind::Path,
        Nothing,
        "A file with the key set in place of `jwks_url`. Read again every second.",
    ),
    key(
        "auth.issuers[].hs256_secret_file",
        Kind::Path,
        Nothing,
        "A file with the secret of an issuer that signs with HS256, 32 to 4096 bytes; a line break at its end is not part \
         of it. Whoever has the secret can make tokens. Such an issuer has no other keys. Read again every second.",
    ),
    key(
        "auth.issuers[].ca_file",
        Kind::Path,
        Nothing,
        "Certificate authorities (PEM) that are trusted for this issuer's keys beside the built-in ones. Read for each \
         fetch.",
    ),
    key(
        "auth.issuers[].bearer_token_file",
        Kind::Path,
        Nothing,
        "A token that is shown when the keys are fetched, as a Kubernetes cluster wants it. Read for each fetch. With \
         discovery it goes on to the key set only where that is at the same host and port as the issuer; where it is \
         not, name `jwks_url`.",
    ),
    key(
        "auth.issuers[].groups_claim",
        Kind::Text("the dotted path of a claim, such as \"groups\" or \"realm_access.roles\", or empty"),
        Is("groups"),
        "The claim that lists the caller's groups, as a dotted path; empty: no groups.",
    ),
    key("policy.dir", Kind::Path, Is("config/policies"), "The folder whose `*.cedar` files are the policies."),
];

/// The keys between `[tencent]` and `[shared]`.
const REST: &[Key] = &[
    key(
        "rate_limit.requests_per_second",
        Kind::Number(1, 10_000),
        Is("20"),
        "What the cloud accepts of one sub-account at one endpoint for one action, in any rolling second.",
    ),
    key(
        "rate_limit.guard",
        Kind::Duration(0, SECOND),
        Is("50ms"),
        "Added to the second that a token is away, for jitter on the way: the cloud counts arrivals.",
    ),
    key(
        "rate_limit.max_wait",
        Kind::Duration(0, 10 * MINUTE),
        Is("3s"),
        "The longest that a call waits for its token.",
    ),
    key("rate_limit.max_queue", Kind::Number(1, 1_000_000), Is("2000"), "Calls that may wait, over all callers."),
    key("rate_limit.max_queue_per_caller", Kind::Number(1, 1_000_000), Is("600"), "Calls of one caller that may wait."),
    key(
        "rate_limit.per_caller.requests_per_second",
        Kind::Number(1, 1_000_000),
        Is("50"),
        "Requests of any kind that come back to a caller in a second.",
    ),
    key(
        "rate_limit.per_caller.burst",
        Kind::Number(1, 1_000_000),
        Is("100"),
        "Requests that a caller who was idle may send at once.",
    ),
    key(
        "rate_limit.failed_auth.requests_per_second",
        Kind::Number(1, 1_000_000),
        Is("50"),
        "Failed authentications of one client address that are answered each second. Beyond it, tokens from that address \
         that are not known yet are answered with 429, unverified.",
    ),
    key(
        "rate_limit.failed_auth.burst",
        Kind::Number(1, 1_000_000),
        Is("200"),
        "Failed authentications of one client address that are answered at once.",
    ),
    key(
        "cache.max_bytes",
        Kind::Size(KIB, 1024 * GIB),
        Is("64MiB"),
        "Bytes that all entries together may take, rendered bodies included.",
    ),
    key(
        "cache.min_validity",
        Kind::Duration(1, 7 * DAY),
        Is("10m"),
        "The least validity that a fresh answer has left; a quarter of the URL's life where that is less.",
    ),
    key(
        "cache.refresh_ahead",
        Kind::Duration(0, 7 * DAY),
        Is("30m"),
        "How long before that point a request starts a refresh in the background.",
    ),
    key(
        "cache.stale_min_validity",
        Kind::Duration(1, 7 * DAY),
        Is("1m"),
        "The least validity that an answer has left while the cloud fails or is saturated.",
    ),
    key(
        "cache.unknown_lifetime",
        Kind::Duration(1, 7 * DAY),
        Is("1m"),
        "The validity that is assumed of a URL that states none.",
    ),
    key(
        "cache.token_url_max",
        Kind::Duration(1, 7 * DAY),
        Is("30m"),
        "The longest that a URL made with a temporary key counts as fresh: it dies with a key that we do not see.",
    ),
    key(
        "cache.negative_ttl",
        Kind::Duration(0, DAY),
        Is("10s"),
        "How long \"no such instance\" and \"no such backup\" are remembered.",
    ),
    key(
        "cache.min_age",
        Kind::Duration(0, DAY),
        Is("10s"),
        "An entry younger than this is served even to `Cache-Control: no-cache`, which browsers send on reload.",
    ),
    key(
        "cache.list_ttl",
        Kind::Duration(100, DAY),
        Is("30s"),
        "How long a listing of instances is remembered, and the least time between two of one region.",
    ),
];

/// The keys behind `[shared]`.
const LAST: &[Key] = &[
    key(
        "audit.sink",
        Kind::Word(&["stdout", "file"]),
        Is("stdout"),
        "Where the records go. `file` is `file`, which must be set then, as must `key_file`.",
    ),
    key(
        "audit.file",
        Kind::Path,
        Nothing,
        "The file that records are appended to. Made for its owner alone where it is not there; opened anew on SIGHUP.",
    ),
    key(
        "audit.key_file",
        Kind::Path,
        Nothing,
        "A file with the key of the chain: 32 bytes in base64 on its first line, previous keys on further lines for \
         `audit verify` and `audit find`. Read again when it changes, and on SIGHUP. Without one, on standard output, the key lives as long \
         as the process.",
    ),
    key(
        "audit.timeout",
        Kind::Duration(1, 5 * MINUTE),
        Is("1s"),
        "A record that takes longer to be written turns its answer into a 503: without a record no URL leaves.",
    ),
    key(
        "log.level",
        Kind::Text(
            "\"error\", \"warn\", \"info\", \"debug\", \"trace\" or \"off\", or a filter such as \"info,actix_server=warn\"",
        ),
        Is("info"),
        "How much is logged to standard error: a level, or a filter in the form of `tracing_subscriber::EnvFilter`. \
         `info,access=info` adds a line for every answer.",
    ),
    key(
        "log.format",
        Kind::Word(&["auto", "text", "json"]),
        Is("auto"),
        "How a log line looks; `auto` is text on a terminal and JSON elsewhere.",
    ),
    key(
        "log.otlp_endpoint",
        Kind::Url("http://host[:port] or https://host[:port], without a user, a query or a fragment"),
        Nothing,
        "The base URL of an OpenTelemetry collector that takes OTLP over HTTP, mostly at port 4318; spans are posted to \
         `/v1/traces` behind it. Without it nothing is recorded. Spans hold no secret, so plain http is accepted to \
         anywhere.",
    ),
];
