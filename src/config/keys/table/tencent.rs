//! The keys of `[tencent]` and of the sections in it.

use super::{
    super::{
        Key, Kind,
        Otherwise::{Is, Nothing, Required},
    },
    MINUTE, key,
};

const ENDPOINT: &str =
    "\"https://host[:port]\" without a path, a query or a user; plain http only to loopback addresses";

pub(super) const KEYS: &[Key] = &[
    key(
        "tencent.account",
        Kind::Text("a name that matches [A-Za-z0-9._-]{1,64}"),
        Is("default"),
        "The name under which quota and cache are kept. Never a key id: a rotation of keys changes neither.",
    ),
    key(
        "tencent.regions",
        Kind::Texts(
            "[\"ap-guangzhou\", \"ap-shanghai\"]",
            "a region such as \"ap-guangzhou\", matching [a-z]{2}-[a-z]+(-[a-z0-9]+)*",
        ),
        Required,
        "The regions that may be asked, and that are searched where a caller names none.",
    ),
    key(
        "tencent.endpoint",
        Kind::Url(ENDPOINT),
        Is("https://redis.tencentcloudapi.com"),
        "The host that is called. The international site is `https://redis.intl.tencentcloudapi.com`. Financial zones \
         (`*-fsi`) are called at `https://redis.<region>.tencentcloudapi.com` instead.",
    ),
    key(
        "tencent.endpoints",
        Kind::Map("{ \"ap-chengdu\" = \"https://redis.ap-chengdu.tencentcloudapi.com\" }", ENDPOINT),
        Is("{}"),
        "Other endpoints, region by region.",
    ),
    key(
        "tencent.connect_timeout",
        Kind::Duration(10, 5 * MINUTE),
        Is("2s"),
        "The time to open a connection, TLS included.",
    ),
    key(
        "tencent.timeout",
        Kind::Duration(10, 5 * MINUTE),
        Is("5s"),
        "The time for one attempt, from the first byte sent to the last byte read.",
    ),
    key(
        "tencent.max_retries",
        Kind::Number(0, 10),
        Is("2"),
        "Attempts after the first, within the request's own deadline. Each costs a token of the quota.",
    ),
    key(
        "tencent.ca_file",
        Kind::Path,
        Nothing,
        "Certificate authorities (PEM) that are trusted beside the built-in ones.",
    ),
    key(
        "tencent.credentials.source",
        Kind::Word(&["auto", "env", "file", "cvm_role", "tke_oidc"]),
        Is("auto"),
        "`env` reads `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY` and `TENCENTCLOUD_TOKEN`, `file` reads `file`, \
         `cvm_role` asks the server's metadata service, `tke_oidc` exchanges the identity of a pod, and `auto` takes the \
         first of them that is there. See [credentials.md](credentials.md).",
    ),
    key(
        "tencent.credentials.file",
        Kind::Path,
        Nothing,
        "A JSON document `{\"secret_id\": …, \"secret_key\": …, \"token\"?: …}`, or a profile of the vendor's tools; read \
         again when it changes.",
    ),
    key(
        "tencent.credentials.assume_role_arn",
        Kind::Text("a role such as \"qcs::cam::uin/100000000001:roleName/redis-backup-reader\""),
        Nothing,
        "A role that is assumed with the keys of the source. Calls are made with the keys of the role.",
    ),
    key(
        "tencent.credentials.metadata_endpoint",
        Kind::Url("\"http://metadata.tencentyun.com\", or plain http to a loopback address"),
        Is("http://metadata.tencentyun.com"),
        "Where the server's role is asked for. Another than the vendor's is for tests.",
    ),
    key(
        "tencent.credentials.sts_endpoint",
        Kind::Url(ENDPOINT),
        Is("https://sts.tencentcloudapi.com"),
        "The token service, for `tke_oidc` and `assume_role_arn`. The international site is \
         `https://sts.intl.tencentcloudapi.com`.",
    ),
    key(
        "tencent.download.limit_type",
        Kind::Word(&["NoLimit", "LimitOnlyIntranet", "Customize"]),
        Required,
        "From where the URLs may be used. Without this section nothing is sent, and the account's own restriction holds.",
    ),
    key(
        "tencent.download.vpcs",
        Kind::Map("{ \"ap-guangzhou\" = [\"vpc-1a2b3c4d\"] }", "a list of VPC ids such as [\"vpc-1a2b3c4d\"]"),
        Nothing,
        "With `Customize`: the VPCs, region by region.",
    ),
    key(
        "tencent.download.ips",
        Kind::Texts(
            "[\"10.1.2.3\"]",
            "an IP address or a network inside a VPC, such as \"10.1.2.3\" or \"10.1.0.0/16\"",
        ),
        Nothing,
        "With `Customize`: addresses inside the VPCs.",
    ),
];
