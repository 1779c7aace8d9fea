use std::num::NonZero;

use proptest::prelude::*;
use serde_json::json;
use time::macros::datetime;

use super::*;
use crate::{
    domain::{BackupId, InstanceId, Region},
    tencent::{DownloadRestriction, error::Class},
};

fn answer(response: &serde_json::Value) -> Vec<u8> {
    json!({ "Response": response }).to_string().into_bytes()
}

fn urls(response: &serde_json::Value) -> Result<BackupUrls, CallError> {
    backup_urls(&answer(response))
}

/// Name, size, public and inner URL of a file.
type Listed<'a> = (&'a str, Option<u64>, Option<&'a str>, Option<&'a str>);

fn listed(urls: &BackupUrls) -> Vec<Listed<'_>> {
    urls.files()
        .map(|file| {
            let size_bytes = file.size_bytes.map(NonZero::get);
            (
                file.name,
                size_bytes,
                file.download_url.map(SignedUrl::expose),
                file.inner_download_url.map(SignedUrl::expose),
            )
        })
        .collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn instance() -> InstanceId {
    InstanceId::try_from("crs-4y9t57vt").unwrap()
}

fn region(text: &str) -> Region {
    Region::try_from(text).unwrap()
}

#[test]
fn the_newer_form_gives_names_sizes_and_both_urls() {
    let urls = urls(&json!({
        "BackupInfos": [
            {"FileName": "b.rdb", "FileSize": 1_048_576, "DownloadUrl": "https://p/2", "InnerDownloadUrl": "https://i/2"},
            {"FileName": "a.rdb", "FileSize": 0, "DownloadUrl": "https://p/1", "InnerDownloadUrl": ""},
            {"FileName": null, "DownloadUrl": null, "InnerDownloadUrl": "https://i/x/c.rdb?sign=1"},
        ],
        "DownloadUrl": null, "InnerDownloadUrl": [], "RequestId": "id-1",
    }))
    .unwrap();

    assert_eq!(
        listed(&urls),
        [
            ("b.rdb", Some(1_048_576), Some("https://p/2"), Some("https://i/2")),
            ("a.rdb", None, Some("https://p/1"), None),
            ("c.rdb", None, None, Some("https://i/x/c.rdb?sign=1")),
        ]
    );
    assert_eq!(urls.request_id.as_str(), "id-1");
}

#[test]
fn the_older_form_is_paired_by_its_order() {
    let both = urls(&json!({
        "DownloadUrl": ["https://p/b.rdb", "https://p/a.rdb"], "InnerDownloadUrl": ["https://i/b.rdb", "https://i/a.rdb"],
        "Filenames": ["B", "A"], "BackupInfos": null,
    }));
    let public = urls(&json!({"DownloadUrl": ["https://p/b.rdb"], "Filenames": null, "BackupInfos": []}));
    let inner = urls(&json!({"InnerDownloadUrl": ["https://i/b.rdb"], "Filenames": ["too", "many"]}));

    assert_eq!(
        listed(&both.unwrap()),
        [
            ("B", None, Some("https://p/b.rdb"), Some("https://i/b.rdb")),
            ("A", None, Some("https://p/a.rdb"), Some("https://i/a.rdb")),
        ]
    );
    assert_eq!(listed(&public.unwrap()), [("b.rdb", None, Some("https://p/b.rdb"), None)]);
    assert_eq!(listed(&inner.unwrap()), [("b.rdb", None, None, Some("https://i/b.rdb"))]);
}

#[test]
fn where_both_forms_come_the_newer_is_taken() {
    let urls = urls(&json!({
        "BackupInfos": [{"FileName": "n", "FileSize": 5, "DownloadUrl": "https://new/"}],
        "DownloadUrl": ["https://old/1", "https://old/2"], "InnerDownloadUrl": ["https://old/3"], "Filenames": null,
    }));

    assert_eq!(listed(&urls.unwrap()), [("n", Some(5), Some("https://new/"), None)]);
}

#[test]
fn sizes_that_are_none_and_names_with_control_characters_are_passed_over() {
    for size in [json!(-1), json!(1.5), json!(0), json!(null)] {
        let info = json!({"FileName": "a\nb", "FileSize": size, "DownloadUrl": "https://p/k.rdb"});

        let urls = urls(&json!({"BackupInfos": [info]})).unwrap();

        assert_eq!(listed(&urls), [("k.rdb", None, Some("https://p/k.rdb"), None)]);
    }
}

#[test]
fn an_answer_without_files_or_with_a_bad_one_is_refused_whole() {
    let good = json!({"DownloadUrl": "https://p/1"});
    for (response, defect) in [
        (json!({}), Defect::NoFiles),
        (json!({"BackupInfos": [], "DownloadUrl": [], "InnerDownloadUrl": null}), Defect::NoFiles),
        (json!({"BackupInfos": [good, {"FileName": "x"}]}), Defect::MissingUrl),
        (json!({"BackupInfos": [good, {"DownloadUrl": "", "InnerDownloadUrl": null}]}), Defect::MissingUrl),
        (
            json!({"DownloadUrl": ["https://p/1", "https://p/2"], "InnerDownloadUrl": ["https://i/1"]}),
            Defect::MissingUrl,
        ),
        (json!({"DownloadUrl": [null]}), Defect::MissingUrl),
        (json!({"BackupInfos": [good, {"DownloadUrl": "/relative"}]}), Defect::UnusableUrl),
        (json!({"DownloadUrl": ["https://p/1"], "InnerDownloadUrl": ["https://i/1\r\n2"]}), Defect::UnusableUrl),
        (json!({"DownloadUrl": "https://p/1"}), Defect::NotAnAnswer),
        (json!({"BackupInfos": [null]}), Defect::NotAnAnswer),
        (json!([]), Defect::NotAnAnswer),
        (json!(null), Defect::NotAnAnswer),
    ] {
        assert_eq!(urls(&response), Err(CallError::Malformed(defect)), "{response}");
    }
}

#[test]
fn what_is_not_an_answer_of_the_api_is_refused() {
    for body in [
        "",
        "<html>",
        "{}",
        "{\"Response\":{",
        "{\"Error\":{\"Code\":\"X\"}}",
        "{\"Response\":{\"DownloadUrl\":[\"https://p/1\"]}}x",
        "{\"Response\":{\"DownloadUrl\":[\"https://p/1\"],\"DownloadUrl\":[\"https://q/1\"]}}",
        &"[".repeat(100_000),
    ] {
        assert_eq!(backup_urls(body.as_bytes()), Err(CallError::Malformed(Defect::NotAnAnswer)), "{body:.60}");
    }
}

#[test]
fn an_error_is_found_whatever_stands_beside_it() {
    for response in [
        json!({"Error": {"Code": "ResourceNotFound.InstanceNotExists", "Message": "no such"}, "RequestId": "id-1"}),
        json!({"Error": {"Code": "ResourceNotFound.InstanceNotExists", "Message": "no such"}, "RequestId": "id-1",
               "DownloadUrl": 5, "TotalCount": "x"}),
    ] {
        let expected = CallError::refused("ResourceNotFound.InstanceNotExists", "no such", "id-1");
        let body = answer(&response);

        assert_eq!(backup_urls(&body), Err(expected.clone()));
        assert_eq!(instances(&body, &region("ap-chengdu")), Err(expected.clone()));
        assert_eq!(backups(&body), Err(expected.clone()));
        assert_eq!(refusal(&body), Some(expected));
    }
}

#[test]
fn an_error_without_a_code_is_still_an_error() {
    let refused = urls(&json!({"Error": {}})).unwrap_err();

    assert!(matches!(refused, CallError::Refused { class: Class::Failed, message: None, .. }), "{refused:?}");
    assert_eq!(refusal(b"<html>"), None);
    assert_eq!(refusal(&answer(&json!({"RequestId": "x", "Error": null}))), None);
}

#[test]
fn no_url_shows_in_debug() {
    let urls = urls(&json!({"DownloadUrl": ["https://p/k?q-signature=28cc"]})).unwrap();

    assert!(!format!("{urls:?}").contains("28cc"));
}

#[test]
fn a_security_token_in_any_url_is_told() {
    let with = json!({"DownloadUrl": ["https://p/1"], "InnerDownloadUrl": ["https://i/1?x-cos-security-token=t"]});

    assert!(urls(&with).unwrap().carry_security_token());
    assert!(!urls(&json!({"DownloadUrl": ["https://p/1"]})).unwrap().carry_security_token());
}

#[test]
fn a_request_for_urls_names_the_backup_and_the_restriction() {
    let backup = BackupId::try_from("678362566696298532848117").unwrap();
    let customize = DownloadRestriction::Customize {
        vpcs: vec![(region("ap-guangzhou"), vec!["vpc-测试".to_owned(), "vpc-2".to_owned()])],
        ips: vec!["10.1.0.13".to_owned()],
    };
    let of_ips = DownloadRestriction::Customize { vpcs: Vec::new(), ips: vec!["10.1.0.13".to_owned()] };
    let ids = r#"{"InstanceId":"crs-4y9t57vt","BackupId":"678362566696298532848117""#;
    for (restriction, rest) in [
        (None, "}"),
        (Some(&DownloadRestriction::NoLimit), r#","LimitType":"NoLimit"}"#),
        (Some(&DownloadRestriction::LimitOnlyIntranet), r#","LimitType":"LimitOnlyIntranet"}"#),
        (
            Some(&customize),
            r#","LimitType":"Customize","VpcComparisonSymbol":"In","IpComparisonSymbol":"In","LimitVpc":[{"Region":"ap-guangzhou","VpcList":["vpc-测试","vpc-2"]}],"LimitIp":["10.1.0.13"]}"#,
        ),
        (Some(&of_ips), r#","LimitType":"Customize","IpComparisonSymbol":"In","LimitIp":["10.1.0.13"]}"#),
    ] {
        assert_eq!(text(&backup_urls_request(&instance(), &backup, restriction)), format!("{ids}{rest}"));
    }
}

#[test]
fn instances_are_read_with_what_a_listing_shows() {
    let page = instances(
        &answer(&json!({
            "TotalCount": 7,
            "InstanceSet": [
                {"InstanceId": "crs-4y9t57vt", "InstanceName": "orders", "Region": "ap-chengdu", "Status": 2, "Type": 16,
                 "ProductType": "cluster", "RedisShardNum": 5, "CurrentRedisVersion": "6.2.14", "Appid": 1, "NodeSet": []},
                {"InstanceId": "crs-2", "Status": -3, "Type": 99, "CurrentRedisVersion": "8.0"},
                {"InstanceId": "not an id", "Status": 2},
                {"InstanceName": null},
            ],
            "RequestId": "id-1",
        })),
        &region("ap-guangzhou"),
    )
    .unwrap();

    let orders = Instance {
        id: instance(),
        name: "orders".to_owned(),
        region: region("ap-chengdu"),
        status: InstanceStatus::Running,
        product_type: Some("cluster".to_owned()),
        shards: Some(5),
        version: Some("6.2".to_owned()),
    };
    let other = Instance {
        id: InstanceId::try_from("crs-2").unwrap(),
        name: String::new(),
        region: region("ap-guangzhou"),
        status: InstanceStatus::ToDelete,
        product_type: None,
        shards: None,
        version: Some("8.0".to_owned()),
    };
    assert_eq!(page.items, [orders, other]);
    assert_eq!((page.total, page.request_id.as_str()), (7, "id-1"));
}

#[test]
fn backups_are_read_with_what_a_listing_shows() {
    let page = backups(&answer(&json!({
        "TotalCount": 3,
        "BackupSet": [
            {"BackupId": "678362566696298532848117", "Status": 2, "BackupType": "1", "StartTime": "2019-03-07 10:00:01",
             "EndTime": "2019-03-07 10:03:11", "ExpireTime": "", "FileType": "RDB-Redis 6.2", "Encrypted": false,
             "Locked": 0, "Remark": "", "BackupSize": null},
            {"BackupId": "165706342-5832225-1641692389", "Status": -1, "BackupType": 0, "Locked": 1, "Encrypted": 1},
            {"BackupId": "../x", "Status": 2},
        ],
    })))
    .unwrap();

    let full = Backup {
        id: BackupId::try_from("678362566696298532848117").unwrap(),
        status: BackupStatus::Normal,
        backup_type: Some("1".to_owned()),
        start_time: Some("2019-03-07 10:00:01".to_owned()),
        end_time: Some("2019-03-07 10:03:11".to_owned()),
        expire_time: None,
        file_type: Some("RDB-Redis 6.2".to_owned()),
        encrypted: Some(false),
        locked: Some(false),
        remark: String::new(),
    };
    let bare = Backup {
        id: BackupId::try_from("165706342-5832225-1641692389").unwrap(),
        status: BackupStatus::Expired,
        backup_type: Some("0".to_owned()),
        start_time: None,
        end_time: None,
        expire_time: None,
        file_type: None,
        encrypted: Some(true),
        locked: Some(true),
        remark: String::new(),
    };
    assert_eq!(page.items, [full, bare]);
    assert_eq!((page.total, page.request_id.as_str()), (3, "unknown"));
}

#[test]
fn an_empty_listing_is_a_listing_and_one_without_a_total_is_not() {
    for set in [json!({"TotalCount": 0}), json!({"TotalCount": 0, "InstanceSet": null, "BackupSet": []})] {
        assert_eq!(instances(&answer(&set), &region("ap-chengdu")).unwrap().items, []);
        assert_eq!(backups(&answer(&set)).unwrap().items, []);
    }
    let not_a_list = CallError::Malformed(Defect::NotAnAnswer);
    assert_eq!(instances(&answer(&json!({"RequestId": "x"})), &region("ap-chengdu")), Err(not_a_list.clone()));
    assert_eq!(backups(&answer(&json!({"TotalCount": -1}))), Err(not_a_list));
}

#[test]
fn a_request_for_a_listing_asks_for_all_states_unless_told() {
    let page = Page { offset: 40, limit: 20 };
    let filter = BackupFilter {
        statuses: vec![BackupStatus::Expired, BackupStatus::Normal],
        since: Some(datetime!(2026-11-01 00:00:00)),
        until: Some(datetime!(2026-11-24 23:59:59)),
    };

    assert_eq!(text(&instances_request(page)), r#"{"Limit":20,"Offset":40}"#);
    assert_eq!(
        text(&backups_request(&instance(), page, &BackupFilter::default())),
        r#"{"InstanceId":"crs-4y9t57vt","Limit":20,"Offset":40,"Status":[1,2,-1,3,4]}"#
    );
    assert_eq!(
        text(&backups_request(&instance(), page, &filter)),
        r#"{"InstanceId":"crs-4y9t57vt","Limit":20,"Offset":40,"Status":[-1,2],"BeginTime":"2026-11-01 00:00:00","EndTime":"2026-11-24 23:59:59"}"#
    );
}

#[test]
fn states_have_one_name_each_and_unknown_numbers_have_their_own() {
    let names: Vec<_> = [1, 2, -1, 3, 4, 0, 9].map(|number| BackupStatus::from(Some(number)).as_str()).into();
    assert_eq!(names, ["locked", "normal", "expired", "exporting", "exported", "unknown", "unknown"]);
    let names: Vec<_> = [0, 1, 2, -2, -3, 7].map(|number| InstanceStatus::from(Some(number)).as_str()).into();
    assert_eq!(names, ["to_init", "in_flow", "running", "isolated", "to_delete", "unknown"]);
    assert_eq!(BackupStatus::from(None), BackupStatus::Unknown);
    assert_eq!(BackupStatus::from_name("exported"), Some(BackupStatus::Exported));
    assert_eq!(BackupStatus::from_name("unknown"), None);
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in any::<Vec<u8>>(), inner in "[\\[\\]{}\":,a-zA-Z0-9]{0,60}") {
        let wrapped = format!("{{\"Response\":{{\"DownloadUrl\":{inner}}}}}");
        for body in [bytes.as_slice(), wrapped.as_bytes()] {
            let _ = (backup_urls(body), backups(body), instances(body, &region("ap-chengdu")), refusal(body));
        }
    }

    #[test]
    fn every_url_that_is_read_is_one_that_was_sent(texts in proptest::collection::vec("https://h/\\PC{0,12}|\\PC{0,8}", 0..4)) {
        if let Ok(read) = urls(&json!({"DownloadUrl": texts})) {
            let urls: Vec<_> = read.urls().map(SignedUrl::expose).collect();
            prop_assert_eq!(urls, texts);
        }
    }
}
