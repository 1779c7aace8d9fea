//! Keys and certificates as files have them.

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// DER between its two lines (RFC 7468), 64 characters a line.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut lines = vec![format!("-----BEGIN {label}-----")];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        lines.push(line.to_owned());
        rest = behind;
    }
    lines.push(format!("-----END {label}-----\n"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_64_characters_at_most() {
        let pem = encode("PUBLIC KEY", &[0; 49]);

        let lines: Vec<_> = pem.lines().collect();
        assert_eq!(lines, ["-----BEGIN PUBLIC KEY-----", &"A".repeat(64), "AA==", "-----END PUBLIC KEY-----"]);
        assert!(pem.ends_with("-----\n"));
    }
}
