use std::{cell::RefCell, collections::HashMap, fs, net::TcpListener, path::Path, rc::Rc, time::Duration};

use serde_json::json;

use super::{chain::Chain, *};
use crate::{
    domain::{Clock, clock::from_unix_seconds},
    outbound::{
        self, TlsRoots,
        test_peer::{Peer, Reply, ok, on_worker},
    },
};

const ID: &str = "AKIDtest";
const KEY: &str = "very-secret-key";
const TOKEN: &str = "very-secret-token";

const NOW_S: u64 = 1_551_952_863;

type Variables<'a> = &'a [(&'static str, &'a str)];

const OF_ENV: Variables<'static> = &[(env::SECRET_ID, ID), (env::SECRET_KEY, KEY), (env::TOKEN, TOKEN)];

fn settings(source: Source) -> Settings {
    // Nobody listens there: a port that was free a moment ago, on an address that nobody else uses.
    let free = TcpListener::bind(("127.0.0.77", 0)).unwrap().local_addr().unwrap();
    let nobody = Endpoint::try_metadata(&format!("http://{free}")).unwrap();
    Settings { source, assume_role: None, metadata: nobody.clone(), sts: nobody }
}

async fn choose(
    settings: &Settings,
    variables: Variables<'_>,
) -> Result<(Chain, std::sync::Arc<Credentials>), CredentialsError> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let variable = |name| Ok(variables.get(name).map(|value| SecretString::from(*value)));
    let http = outbound::client(&TlsRoots::load(None).unwrap(), Duration::from_secs(2), Duration::from_secs(2));
    Chain::choose(settings, variable, &http, &Clock::manual(from_unix_seconds(NOW_S))).await
}

fn chosen(settings: &Settings, variables: Variables<'_>) -> Result<std::sync::Arc<Credentials>, CredentialsError> {
    on_worker(choose(settings, variables)).map(|(_, credentials)| credentials)
}

fn written(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn document(id: &str) -> String {
    json!({"secret_id": id, "secret_key": KEY}).to_string()
}

/// A metadata service with a role whose key ends in two hours.
fn role_key(id: &str) -> [Reply; 2] {
    let key = json!({"Code": "Success", "TmpSecretId": id, "TmpSecretKey": KEY, "Token": TOKEN,
                     "ExpiredTime": NOW_S + 7200});
    [Reply::Send(ok("role")), Reply::Send(ok(&key.to_string()))]
}

fn assumed(id: &str) -> Reply {
    let key = json!({"Response": {"Credentials": {"TmpSecretId": id, "TmpSecretKey": KEY, "Token": TOKEN},
                                  "ExpiredTime": NOW_S + 7200, "RequestId": "id"}});
    Reply::Send(ok(&key.to_string()))
}

#[test]
fn the_environment_gives_id_key_and_token_for_as_long_as_the_process_lives() {
    let (chain, credentials) = on_worker(choose(&settings(Source::Env), OF_ENV)).unwrap();

    assert_eq!(credentials.exposed(), (ID, KEY, Some(TOKEN)));
    assert_eq!(credentials.expires_at(), None);
    assert!(!chain.can_change());
}

#[test]
fn auto_takes_the_environment_then_the_file_then_the_profile() {
    let (_folder, path) = written(&document("of-file"));
    let (home, _) = written("");
    fs::create_dir(home.path().join(".tencentcloud")).unwrap();
    let profile = "[default]\nsecret_id = of-profile\nsecret_key = k\n";
    fs::write(home.path().join(".tencentcloud/credentials"), profile).unwrap();
    let with_file = settings(Source::Auto { file: Some(path) });
    let without = settings(Source::Auto { file: None });
    let of_home: Variables<'_> = &[(env::HOME, home.path().to_str().unwrap())];
    fn id(settings: &Settings, variables: Variables<'_>) -> String {
        chosen(settings, variables).unwrap().secret_id().to_owned()
    }

    assert_eq!(id(&with_file, &[OF_ENV, of_home].concat()), ID);
    assert_eq!(id(&with_file, of_home), "of-file");
    assert_eq!(id(&without, of_home), "of-profile");
}

#[test]
fn auto_takes_the_servers_role_where_no_file_is_and_then_the_clusters_identity() {
    let (_folder, token) = written("identity-token\n");
    let of_cluster: Variables<'_> = &[
        ("TKE_REGION", "ap-chengdu"),
        ("TKE_PROVIDER_ID", "cls-1"),
        ("TKE_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("TKE_ROLE_ARN", "qcs::cam::uin/1:roleName/reader"),
    ];
    on_worker(async {
        let peer = Peer::start(role_key("of-server").into_iter().chain([Reply::Send(ok("")), assumed("of-pod")])).await;
        let origin = Endpoint::try_metadata(&peer.origin()).unwrap();
        let auto = Settings { metadata: origin.clone(), sts: origin, ..settings(Source::Auto { file: None }) };

        let of_server = choose(&auto, of_cluster).await.unwrap().1;
        // The second time the server has no role.
        let of_pod = choose(&auto, of_cluster).await.unwrap().1;

        assert_eq!((of_server.secret_id(), of_pod.secret_id()), ("of-server", "of-pod"));
        assert_eq!(of_pod.expires_at(), Some(from_unix_seconds(NOW_S + 7200)));
        let asked = String::from_utf8(peer.requests().pop().unwrap()).unwrap();
        for part in [
            "authorization: SKIP\r\n",
            "x-tc-action: AssumeRoleWithWebIdentity\r\n",
            "x-tc-region: ap-chengdu\r\n",
            r#"{"ProviderId":"cls-1","WebIdentityToken":"identity-token","RoleArn":"qcs::cam::uin/1:roleName/reader""#,
        ] {
            assert!(asked.contains(part), "{part} is not in {asked}");
        }
    });
}

#[test]
fn a_role_is_assumed_with_the_keys_of_whatever_source() {
    on_worker(async {
        let peer = Peer::start([assumed("of-role"), assumed("of-role-again")]).await;
        let role = RoleArn::try_from("qcs::cam::uin/1:roleName/reader").unwrap();
        let sts = Endpoint::try_from(peer.origin().as_str()).unwrap();
        let settings = Settings { assume_role: Some(role), sts, ..settings(Source::Env) };

        let (chain, credentials) = choose(&settings, OF_ENV).await.unwrap();
        let http = outbound::client(&TlsRoots::load(None).unwrap(), Duration::from_secs(2), Duration::from_secs(2));
        let again = chain.fetch(&http).await.unwrap();

        assert_eq!((credentials.secret_id(), again.secret_id()), ("of-role", "of-role-again"));
        assert!(chain.can_change());
        let asked = String::from_utf8(peer.requests().remove(0)).unwrap();
        assert!(asked.contains("Credential=AKIDtest/2019-03-07/sts/tc3_request"), "{asked}");
        assert!(asked.contains(&format!("x-tc-token: {TOKEN}\r\n")), "{asked}");
    });
}

#[test]
fn what_is_missing_is_named_with_all_that_was_looked_for() {
    let (home, path) = written(r#"{"secret_id": "x"}"#);
    let auto = settings(Source::Auto { file: None });
    let metadata = auto.metadata.clone();
    fn told(settings: &Settings, variables: Variables<'_>) -> String {
        chosen(settings, variables).unwrap_err().to_string()
    }
    let nothing = "no cloud credentials: TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY are not set";
    let no_cluster = "TKE_REGION, TKE_PROVIDER_ID, TKE_WEB_IDENTITY_TOKEN_FILE and TKE_ROLE_ARN are not set";

    assert_eq!(told(&settings(Source::Env), &[]), nothing);
    assert_eq!(
        told(&auto, &[(env::HOME, home.path().to_str().unwrap())]),
        format!(
            "{nothing}; tencent.credentials.file is not set; there is no {}/.tencentcloud/credentials; there is no \
             /etc/tencentcloud/credentials; the metadata service at {metadata} cannot be reached; {no_cluster}",
            home.path().display()
        )
    );
    assert_eq!(
        told(&auto, &[(env::SECRET_ID, ID)]),
        "no cloud credentials: TENCENTCLOUD_SECRET_ID is set and TENCENTCLOUD_SECRET_KEY is not"
    );
    assert_eq!(
        told(&settings(Source::File(path.clone())), &[]),
        format!("no cloud credentials: there is no secret_key of {}", path.display())
    );
    let absent = path.with_file_name("absent");
    let absent_told = format!("{} cannot be read: entity not found", absent.display());
    assert_eq!(told(&settings(Source::File(absent.clone())), &[]), absent_told);
    assert_eq!(told(&settings(Source::Auto { file: Some(absent) }), &[]), absent_told);
    assert_eq!(told(&settings(Source::TkeOidc), &[]), format!("no cloud credentials: {no_cluster}"));
}

#[test]
fn a_profile_with_a_mistake_ends_the_search() {
    let (home, _) = written("");
    fs::create_dir(home.path().join(".tencentcloud")).unwrap();
    fs::write(home.path().join(".tencentcloud/credentials"), "[default]\nsecret_id\n").unwrap();

    let refused = chosen(&settings(Source::Auto { file: None }), &[(env::HOME, home.path().to_str().unwrap())]);

    assert!(matches!(refused, Err(CredentialsError::NotProfile { line: 2, .. })), "{refused:?}");
}

#[test]
fn blanks_around_a_value_are_removed_and_inside_it_refused() {
    let (_folder, path) =
        written("{\"secret_id\": \" AKIDtest\\n\", \"secret_key\": \"\\tvery-secret-key \", \"token\": \" \"}");

    let credentials = chosen(&settings(Source::File(path)), &[]).unwrap();

    assert_eq!(credentials.exposed(), (ID, KEY, None));
    for bad in ["two words", "nul\0", "line\nend", "schlüssel", "\u{a0}"] {
        let refused = chosen(&settings(Source::Env), &[(env::SECRET_ID, ID), (env::SECRET_KEY, bad)]).unwrap_err();
        assert!(matches!(refused, CredentialsError::Invalid { .. }), "{bad:?}");
        assert!(refused.to_string().starts_with("TENCENTCLOUD_SECRET_KEY "), "{refused}");
    }
}

/// Starts a store over a file and its refresher, and runs `test` with what the refresher has told so far.
fn with_store(path: &Path, test: impl AsyncFnOnce(&CredentialStore, &RefCell<Vec<Result<Change, CredentialsError>>>)) {
    on_worker(async {
        let clock = Clock::machine();
        let settings = settings(Source::File(path.to_owned()));
        let roots = TlsRoots::load(None).unwrap();
        let (store, refresher) = CredentialStore::start(&settings, &roots, &clock).await.unwrap();
        let told = Rc::new(RefCell::new(Vec::new()));
        let telling = Rc::clone(&told);
        let tell = move |outcome: &_| telling.borrow_mut().push(Result::clone(outcome));
        actix_web::rt::spawn(async move { refresher.run(tell).await });

        test(&store, &told).await;
    });
}

#[test]
fn a_call_that_fails_for_its_key_gets_the_new_one_at_once_and_all_share_the_attempt() {
    let (_folder, path) = written(&document("one"));
    with_store(&path, async |store, told| {
        let used = store.current();
        fs::write(&path, document("two")).unwrap();

        let renewed = futures_util::future::join_all((0..20).map(|_| store.renew(&used))).await;

        assert_eq!(renewed, [true; 20]);
        assert_eq!(store.current().secret_id(), "two");
        assert_eq!(*told.borrow(), [Ok(Change::Renewed)]);
        assert!(store.renew(&used).await, "the newer one is there already");
    });
}

#[test]
fn a_call_that_fails_for_its_key_is_told_so_where_there_is_no_other() {
    let (_folder, path) = written(&document("one"));
    with_store(&path, async |store, told| {
        let used = store.current();

        let renewed = futures_util::future::join_all((0..20).map(|_| store.renew(&used))).await;

        assert_eq!(renewed, [false; 20]);
        assert_eq!(*told.borrow(), [Ok(Change::Same)]);
    });
}

#[test]
fn a_bad_file_takes_nothing_away() {
    let (_folder, path) = written(&document("one"));
    with_store(&path, async |store, told| {
        let used = store.current();
        fs::write(&path, "{").unwrap();

        let renewed = store.renew(&used).await;

        assert!(!renewed);
        assert_eq!(store.current().secret_id(), "one");
        assert!(matches!(told.borrow()[..], [Err(CredentialsError::NotJson { .. })]));
    });
}

#[test]
fn keys_that_cannot_change_are_not_waited_for() {
    let store = CredentialStore::of_test(ID, KEY, None, None);

    let renewed = on_worker(store.renew(&store.current()));

    assert!(!renewed);
}

#[test]
fn a_temporary_key_is_of_no_use_from_the_second_of_its_end() {
    let end = from_unix_seconds(NOW_S);
    let credentials = CredentialStore::of_test(ID, KEY, Some(TOKEN), Some(end)).current();

    assert!(!credentials.have_expired(end - Duration::from_nanos(1)));
    assert!(credentials.have_expired(end));
    assert!(!CredentialStore::of_test(ID, KEY, None, None).current().have_expired(end));
}

#[test]
fn nothing_secret_shows_in_debug_or_in_an_error() {
    let store = CredentialStore::of_test(ID, KEY, Some(TOKEN), None);
    // serde's own message for this document quotes the string that it found.
    let (_folder, path) = written(r#"{"secret_id": "AKIDtest", "secret_key": ["very-secret-key"], "token": 5}"#);
    let refused = chosen(&settings(Source::File(path)), &[]).unwrap_err();
    let (_other_folder, other) = written(r#""very-secret-key""#);
    let refused_too = chosen(&settings(Source::File(other)), &[]).unwrap_err();

    let shown = format!("{store:?} {:?} {refused} {refused:?} {refused_too} {refused_too:?}", store.current());

    for secret in [ID, KEY, TOKEN] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
