//! Rows about the form: size, parts, encoding, JSON and the header.

use serde_json::{Value, json};

use super::Case;
use crate::identity::{
    reason::Reason,
    testing::{self, ED25519, P256, RSA, STRANGER, b64, with},
    token::MAX_TOKEN_BYTES,
};

pub(super) fn cases() -> Vec<Case> {
    [parts(), encoding(), json(), header()].into_iter().flatten().collect()
}

fn good() -> String {
    P256.token(&testing::claims())
}

/// A good token's parts.
fn split() -> [String; 3] {
    let token = good();
    let mut parts = token.split('.').map(str::to_owned);
    std::array::from_fn(|_| parts.next().unwrap())
}

/// A token under the usual header with further members, or others in place of these.
fn under(members: Value) -> String {
    P256.token_of(&with(P256.header(), members).to_string(), &testing::claims().to_string())
}

fn parts() -> Vec<Case> {
    let [header, claims, signature] = split();
    let refused = |name, token| Case::refused(name, Reason::Encoding, token);
    let padding = "a".repeat(MAX_TOKEN_BYTES);
    vec![
        refused("nothing", String::new()),
        refused("one part", header.clone()),
        refused("two parts", format!("{header}.{claims}")),
        refused("no signature (CVE-2020-28042)", format!("{header}.{claims}.")),
        refused("four parts", format!("{header}.{claims}.{signature}.{signature}")),
        refused("a dot at the end", format!("{header}.{claims}.{signature}.")),
        refused("a dot at the beginning", format!(".{header}.{claims}.{signature}")),
        refused("five parts, as a JWE has", format!("{header}.{claims}.{signature}.{claims}.{signature}")),
        refused("only dots", "..".to_owned()),
        Case::refused("detached payload", Reason::Json, format!("{header}..{signature}")),
        refused("the JSON serialization of a JWS", {
            json!({"protected": header, "payload": claims, "signature": signature}).to_string()
        }),
        Case::refused("beyond 8 KiB", Reason::TooLarge, format!("{header}.{claims}.{padding}")),
        Case::refused("beyond 8 KiB of something else", Reason::TooLarge, "\u{1f512}".repeat(MAX_TOKEN_BYTES)),
        Case::accepted("an ordinary token", good()),
    ]
}

fn encoding() -> Vec<Case> {
    let [header, claims, signature] = split();
    let refused = |name, token| Case::refused(name, Reason::Encoding, token);
    let standard_alphabet = {
        use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
        STANDARD_NO_PAD.encode([0xff, 0xfb, 0xef])
    };
    vec![
        refused("padding after the header", format!("{header}=.{claims}.{signature}")),
        refused("padding after the signature", format!("{header}.{claims}.{signature}==")),
        refused("a blank at the end", format!("{header}.{claims}.{signature} ")),
        refused("a line break at the end", format!("{header}.{claims}.{signature}\n")),
        refused("a line break within", format!("{header}.\r\n{claims}.{signature}")),
        refused("a NUL", format!("{header}.{claims}.{signature}\0")),
        refused("the other alphabet", format!("{header}.{claims}.{standard_alphabet}")),
        refused("percent-encoding", format!("{header}%2E{claims}.{signature}")),
        refused("letters that look alike", format!("{header}.{claims}.{}", signature.replace(|_| true, "\u{430}"))),
        refused("one character of base64", format!("{header}.{claims}.A")),
        refused("bits left over", format!("{header}.{claims}.AB")),
        Case::refused("a shorter signature", Reason::Signature, format!("{header}.{claims}.{}", &signature[4..])),
        Case::refused("a longer signature", Reason::Signature, format!("{header}.{claims}.{signature}AA")),
    ]
}

fn json() -> Vec<Case> {
    let header = P256.header().to_string();
    let claims = testing::claims().to_string();
    let inside = |text: &str| format!("{},{text}}}", claims.trim_end_matches('}'));
    let refused = |name, reason, header: &str, claims: &str| Case::refused(name, reason, P256.token_of(header, claims));
    let deep = inside(&format!(r#""deep":{}1{}"#, "[".repeat(200), "]".repeat(200)));
    vec![
        refused("claims that are a list", Reason::Json, &header, "[]"),
        refused("claims that are null", Reason::Json, &header, "null"),
        refused("claims that are text", Reason::Json, &header, r#""alice""#),
        refused("no claims", Reason::Json, &header, ""),
        refused("claims that are no JSON", Reason::Json, &header, "{'sub':'alice'}"),
        refused("a comma too many", Reason::Json, &header, &claims.replace('}', ",}")),
        refused("a second object after the claims", Reason::Json, &header, &format!("{claims}{{}}")),
        refused("a byte order mark", Reason::Json, &header, &format!("\u{feff}{claims}")),
        refused("a comment", Reason::Json, &header, &format!("{claims}/**/")),
        refused("half a surrogate pair", Reason::Json, &header, &inside(r#""a":"\ud800""#)),
        refused("a number beyond all numbers", Reason::Json, &header, &inside(r#""a":1e999"#)),
        refused("NaN", Reason::Json, &header, &inside(r#""a":NaN"#)),
        refused("nesting without end", Reason::Json, &header, &deep),
        refused("a token within the token", Reason::Json, &header, &good()),
        Case::refused("claims that are not UTF-8", Reason::Json, {
            let signed = format!("{}.{}", b64(header.as_bytes()), b64(b"{\"sub\":\"\xff\"}"));
            format!("{signed}.{}", b64(&P256.signature("ES256", signed.as_bytes())))
        }),
        refused("a header that is a list", Reason::Json, "[]", &claims),
        refused("sub twice", Reason::DuplicateMember, &header, &inside(r#""sub":"bob""#)),
        refused("exp twice", Reason::DuplicateMember, &header, &inside(r#""exp":99999999999"#)),
        refused("iss twice, once behind an escape", Reason::DuplicateMember, &header, &inside(r#""\u0069ss":"x""#)),
        refused("a name twice further down", Reason::DuplicateMember, &header, &inside(r#""a":[{"b":1,"b":1}]"#)),
        refused(
            "alg twice (RFC 7515 section 4)",
            Reason::DuplicateMember,
            r#"{"alg":"none","kid":"ec-1","alg":"ES256"}"#,
            &claims,
        ),
        refused("kid twice", Reason::DuplicateMember, r#"{"alg":"ES256","kid":"x","kid":"ec-1"}"#, &claims),
        Case::accepted(
            "blanks in the JSON",
            P256.token_of("{ \"alg\" : \"ES256\" ,\n \"kid\" : \"ec-1\" }", &format!("\n{claims}\t ")),
        ),
        Case::accepted("names behind escapes", P256.token_of(r#"{"\u0061lg":"ES256","kid":"ec-1"}"#, &claims)),
        Case::accepted(
            "claims that nobody knows",
            P256.token_of(&header, &inside(r#""a":{"sub":"bob","exp":1},"Sub":"bob","EXP":1,"aud ":"x""#)),
        ),
    ]
}

fn header() -> Vec<Case> {
    let refused = |name, reason, members| Case::refused(name, reason, under(members));
    let strangers_key = STRANGER.jwk();
    let unsigned = |algorithm: &str| {
        let header = with(P256.header(), json!({ "alg": algorithm }));
        format!("{}.{}.AAAA", b64(header.to_string().as_bytes()), b64(testing::claims().to_string().as_bytes()))
    };
    let hmac = |algorithm: &str, secret: &[u8]| {
        let header = with(RSA.header(), json!({ "alg": algorithm }));
        testing::hs256_token_of(secret, &header.to_string(), &testing::claims().to_string())
    };
    let strangers = |members| {
        let header = with(with(STRANGER.header(), json!({"kid": null})), members);
        STRANGER.token_of(&header.to_string(), &testing::claims().to_string())
    };
    vec![
        Case::refused("alg none (CVE-2020-15957)", Reason::Algorithm, unsigned("none")),
        Case::refused("alg None", Reason::Algorithm, unsigned("None")),
        Case::refused("alg nOnE", Reason::Algorithm, unsigned("nOnE")),
        Case::refused("alg empty", Reason::Algorithm, unsigned("")),
        Case::refused("alg es256", Reason::Algorithm, unsigned("es256")),
        Case::refused("alg with a blank", Reason::Algorithm, unsigned("ES256 ")),
        Case::refused("alg ES256K", Reason::Algorithm, unsigned("ES256K")),
        Case::refused("alg dir", Reason::Algorithm, unsigned("dir")),
        Case::refused("alg RSA-OAEP", Reason::Algorithm, unsigned("RSA-OAEP")),
        Case::refused("alg Ed448", Reason::Algorithm, unsigned("Ed448")),
        Case::refused("HS256 with the public key (CVE-2015-9235)", Reason::Algorithm, hmac("HS256", &RSA.public_der())),
        Case::refused("HS256 with the modulus", Reason::Algorithm, {
            hmac("HS256", RSA.jwk()["n"].as_str().unwrap().as_bytes())
        }),
        Case::refused("HS256 with an empty secret", Reason::Algorithm, hmac("HS256", b"")),
        Case::refused("an algorithm that the issuer may not use", Reason::Algorithm, {
            RSA.token_of(&with(RSA.header(), json!({"alg": "RS512"})).to_string(), &testing::claims().to_string())
        }),
        refused("alg that is a list", Reason::Header, json!({"alg": ["ES256"]})),
        refused("alg null", Reason::Header, json!({"alg": null})),
        Case::refused("no alg", Reason::Header, {
            P256.token_of(r#"{"typ":"JWT","kid":"ec-1"}"#, &testing::claims().to_string())
        }),
        Case::refused("an empty header", Reason::Header, P256.token_of("{}", &testing::claims().to_string())),
        refused("kid a number", Reason::Header, json!({"kid": 1})),
        refused("kid null", Reason::Header, json!({"kid": null})),
        refused("kid a list", Reason::Header, json!({"kid": ["ec-1"]})),
        refused("typ a number", Reason::Header, json!({"typ": 1})),
        refused("typ null", Reason::Header, json!({"typ": null})),
        refused("a logout token", Reason::Type, json!({"typ": "logout+jwt"})),
        refused("a proof of possession", Reason::Type, json!({"typ": "dpop+jwt"})),
        refused("a JWE's type", Reason::Type, json!({"typ": "JWE"})),
        refused("an empty type", Reason::Type, json!({"typ": ""})),
        refused("crit", Reason::Extension, json!({"crit": ["exp"], "exp": 1})),
        refused("crit of something unknown", Reason::Extension, json!({"crit": ["x"], "x": 1})),
        refused("an empty crit", Reason::Extension, json!({"crit": []})),
        refused("crit null", Reason::Extension, json!({"crit": null})),
        refused("b64 false", Reason::Extension, json!({"b64": false, "crit": ["b64"]})),
        refused("b64 true", Reason::Extension, json!({"b64": true})),
        refused("zip", Reason::Extension, json!({"zip": "DEF"})),
        refused("cty JWT", Reason::Extension, json!({"cty": "JWT"})),
        refused("cty jwt", Reason::Extension, json!({"cty": "jwt"})),
        Case::refused("the key in the header (CVE-2018-0114)", Reason::Header, {
            strangers(json!({"jwk": strangers_key}))
        }),
        Case::refused("the key in the header under our kid", Reason::Signature, {
            strangers(json!({"jwk": strangers_key, "kid": "ec-1"}))
        }),
        Case::refused("a key set of the stranger's", Reason::Signature, {
            strangers(json!({"jku": "http://127.0.0.1:9/jwks", "kid": "ec-1"}))
        }),
        Case::refused("a certificate of the stranger's", Reason::Signature, {
            strangers(json!({"x5u": "http://127.0.0.1:9/cert", "x5c": ["AAAA"], "kid": "ec-1"}))
        }),
        Case::accepted("typ at+jwt", under(json!({"typ": "at+jwt"}))),
        Case::accepted("typ application/at+jwt", under(json!({"typ": "application/AT+JWT"}))),
        Case::accepted("typ jwt", under(json!({"typ": "jwt"}))),
        Case::accepted("no typ", P256.token_of(r#"{"alg":"ES256","kid":"ec-1"}"#, &testing::claims().to_string())),
        Case::accepted("a certificate's thumbprint beside the kid", under(json!({"x5t": "AAAA"}))),
        Case::accepted("a header's key that is not looked at", under(json!({"jwk": ED25519.jwk(), "jku": "x"}))),
    ]
}
