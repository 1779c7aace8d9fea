//! wrk, which asks as fast as it is answered.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use crate::{Result, process::Cores};

/// What wrk asks for, over and over.
pub(crate) struct Script<'a> {
    /// The paths; one is chosen at random for each request where there are several.
    pub(crate) paths: &'a [String],
    /// The tokens; the same.
    pub(crate) tokens: &'a [String],
}

/// What wrk makes of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// A request after the other on each.
    Kept,
    /// One for each request.
    New,
    /// So many requests at once on each (HTTP/1.1 pipelining). There is one path and one token.
    Pipelined(usize),
}

/// What it speaks.
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Http,
    /// TLS of the version that both sides like best. wrk believes any certificate.
    Https,
}

/// How hard it asks.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) cores: Cores,
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
    pub(crate) are: Connections,
    pub(crate) scheme: Scheme,
}

/// What it saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub(crate) median_us: f64,
    pub(crate) p99_us: f64,
}

/// What wrk prints at its end, in one line that is easy to read.
const DONE: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("seen %d %d %d %d %d\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"#;

/// Lets wrk ask a server. An answer that is not good makes all of it worthless.
pub(crate) fn ask(folder: &Path, address: SocketAddr, script: &Script<'_>, load: Load) -> Result<Seen> {
    let file = folder.join("wrk.lua");
    fs::write(&file, script.lua(load.are))?;
    let scheme = match load.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let output = load
        .cores
        .command("wrk")
        .args(["--threads", &load.threads.to_string(), "--connections", &load.connections.to_string()])
        .args(["--duration", &format!("{}s", load.duration.as_secs()), "--timeout", "10s", "--script"])
        .arg(&file)
        .arg(format!("{scheme}://{address}{}", script.paths.first().map_or("/", String::as_str)))
        .output()
        .map_err(|error| format!("wrk does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    seen(&text)
        .ok_or_else(|| format!("wrk was not answered well: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

impl Script<'_> {
    fn lua(&self, connections: Connections) -> String {
        let fixed = self.paths.len() == 1 && self.tokens.len() == 1;
        if let (true, Some(token)) = (fixed, self.tokens.first()) {
            let shape = match connections {
                Connections::Kept => String::new(),
                Connections::New => "wrk.headers['Connection'] = 'close'\n".to_owned(),
                Connections::Pipelined(depth) => format!(
                    "init = function() burst = string.rep(wrk.format(), {depth}) end\n\
                     request = function() return burst end\n"
                ),
            };
            return format!("wrk.headers['Authorization'] = 'Bearer {token}'\n{shape}{DONE}");
        }
        let list = |items: &[String]| items.iter().map(|item| format!("'{item}',\n")).collect::<String>();
        format!(
            "local paths, tokens, heads, tails = {{{}}}, {{{}}}, {{}}, {{}}\n\
             for i, path in ipairs(paths) do heads[i] = 'GET ' .. path .. ' HTTP/1.1\\r\\nHost: gateway\\r\\n' end\n\
             for i, token in ipairs(tokens) do tails[i] = 'Authorization: Bearer ' .. token .. '\\r\\n\\r\\n' end\n\
             request = function() return heads[math.random(#heads)] .. tails[math.random(#tails)] end\n{DONE}",
            list(self.paths),
            list(self.tokens)
        )
    }
}

/// The line of `DONE`; nothing where there is none or something went wrong.
fn seen(text: &str) -> Option<Seen> {
    let line = text.lines().find_map(|line| line.strip_prefix("seen "))?;
    let numbers = line.split(' ').map(str::parse).collect::<std::result::Result<Vec<f64>, _>>().ok()?;
    let [requests, micros, errors, median_us, p99_us] = numbers.try_into().ok()?;
    (errors == 0.0 && requests > 0.0).then_some(Seen { requests, seconds: micros / 1e6, median_us, p99_us })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_saw_is_read_unless_something_went_wrong() {
        let good = seen("Running 2s test\nseen 1000 2000000 0 310 900\n");

        assert_eq!(good, Some(Seen { requests: 1000.0, seconds: 2.0, median_us: 310.0, p99_us: 900.0 }));
        assert_eq!(seen("seen 1000 2000000 1 310 900"), None);
        assert_eq!(seen("seen 0 2000000 0 0 0"), None);
        assert_eq!(seen("unable to connect"), None);
    }
}
