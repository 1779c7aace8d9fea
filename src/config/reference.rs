//! `docs/configuration.md`, written from the list of keys so that it cannot lag behind. Compiled for tests alone.

use std::fmt::Write as _;

use super::{
    keys::{self, Key, Kind, Otherwise},
    raw::literal,
};

const INTRODUCTION: &str = "\
# Configuration

<!-- Written from src/config/keys/table.rs: `UPDATE_DOCS=1 cargo test` writes it anew. -->

The gateway reads one TOML file, named by `--config FILE` or by the variable `GATEWAY_CONFIG`, over the defaults below
and under environment variables. Without a file, the defaults and the variables alone must do.
[`config/gateway.toml`](../config/gateway.toml) is a complete file with every key and the reasons to change it.

- `redis-backup-gateway check-config` lists every mistake at once, each with its key, where the value was written (file,
  line and column; or the variable) and what would be right. It also looks whether the files that are named can be read.
- `redis-backup-gateway check-config --print` shows what is in force and where each value comes from.
- An unknown key is a mistake, in the file and in the environment.
- A change of the configuration takes effect with the next start. What it names (policies, keys, revocations) is read again
  when it changes.
- A relative path starts at the working directory of the process, not at the file.

## Values

- A duration is a whole number and a unit, `ms`, `s`, `m`, `h` or `d`: `\"250ms\"`, `\"10s\"`, `\"24h\"`.
- A size is a whole number and a unit, `B`, `KiB`, `MiB` or `GiB`: `\"64MiB\"`.
- Secrets do not stand in the configuration, and no key takes one. The keys to the cloud come from where
  `tencent.credentials` says.

## Environment variables

`GATEWAY_<SECTION>__<KEY>` sets one key, its name in upper case and `__` for each dot:

```sh
GATEWAY_SERVER__LISTEN=127.0.0.1:8080
GATEWAY_RATE_LIMIT__MAX_WAIT=5s
GATEWAY_TENCENT__CREDENTIALS__SOURCE=env
GATEWAY_TENCENT__REGIONS='[\"ap-guangzhou\", \"ap-chengdu\"]'
GATEWAY_TENCENT__ENDPOINTS='{ \"ap-chengdu\" = \"https://redis.ap-chengdu.tencentcloudapi.com\" }'
```

The value is in TOML syntax, and a bare word is a text. Lists are replaced as a whole, tables are merged name by name.
Names without `__` are not read, so a cluster's own `GATEWAY_PORT` does no harm. Tables in a list (`auth.issuers`) stand
in the file only.
";

/// The whole document.
pub(super) fn render() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in keys::sections() {
        let _ = writeln!(
            text,
            "\n## `{}`\n\n| key | takes | default | meaning |\n| --- | --- | --- | --- |",
            keys::header(section)
        );
        for key in keys::in_section(section) {
            let (_, name) = key.split();
            let _ = writeln!(
                text,
                "| `{name}` | {} | {} | {} |",
                cell(&takes(&key.kind)),
                cell(&otherwise(key)),
                cell(key.meaning)
            );
        }
    }
    text
}

fn takes(kind: &Kind) -> String {
    match kind {
        Kind::Texts(example, right) => format!("a list such as `{example}`; each is {}", code(right)),
        Kind::Map(example, right) => format!("a table such as `{example}`; each value is {}", code(right)),
        other => code(&other.right()),
    }
}

fn otherwise(key: &Key) -> String {
    match key.otherwise {
        Otherwise::Is(_) => key.default().map(|node| format!("`{}`", literal(&node.value))).unwrap_or_default(),
        Otherwise::Required => "required".to_owned(),
        Otherwise::Nothing => "none".to_owned(),
    }
}

/// What is in quotes becomes code, as it is written in a file: `"10s"` → `` `"10s"` ``. What else Markdown would take for
/// its own is escaped.
fn code(text: &str) -> String {
    let mut parts = Vec::new();
    for (index, part) in text.split('"').enumerate() {
        parts.push(match index % 2 {
            1 => format!("`\"{part}\"`"),
            _ => part.replace('[', "\\[").replace(']', "\\]").replace('*', "\\*"),
        });
    }
    parts.concat()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
