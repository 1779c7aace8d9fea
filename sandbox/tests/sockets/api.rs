//! What the three actions answer, and what they refuse.

use std::collections::BTreeSet;

use sandbox::{EndpointOptions, Options, RegionCheck, Sandbox, Shape, UrlDefect, credential, known};
use serde_json::json;

use crate::support::{Answer, Call, first_urls, now};

fn start() -> Sandbox {
    Sandbox::start(Options::default()).expect("starts")
}

#[test]
fn a_good_call_gets_a_url_for_each_shard() {
    let sandbox = start();

    let answer = Call::urls(&sandbox).send();

    let response = &answer.json()["Response"];
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")));
    assert_eq!(response["BackupInfos"].as_array().map(Vec::len), Some(5));
    assert_eq!(response["DownloadUrl"][4], response["BackupInfos"][4]["DownloadUrl"]);
    assert_eq!(response["RequestId"].as_str().map(str::len), Some(36));
}

#[test]
fn the_seed_document_comes_byte_for_byte() {
    let sandbox = start();
    sandbox.control().update(|settings| settings.verbatim_seed = true);

    let answer = Call::urls(&sandbox).send();

    assert_eq!(answer.body, include_bytes!("../../src/seed-response.json"));
    assert_eq!(Call::urls_of(&sandbox, known::ORDERS_LATEST).send().code(), "");
}

#[test]
fn what_is_wrong_with_a_call_is_told_with_the_published_code() {
    let sandbox = start();
    let good = || Call::urls(&sandbox);
    let with_body = |body: serde_json::Value| Call { body: body.to_string(), ..good() };
    let cases = [
        (Call { key: "wrong", ..good() }, "AuthFailure.SignatureFailure"),
        (Call { id: "AKIDnobody", ..good() }, "AuthFailure.SecretIdNotFound"),
        (Call { token: Some("unasked"), ..good() }, "AuthFailure.TokenFailure"),
        (Call { at: now() - 400, ..good() }, "AuthFailure.SignatureExpire"),
        (Call { action: "DescribeNothing", ..good() }, "InvalidAction"),
        (Call { version: "2017-03-12", ..good() }, "NoSuchVersion"),
        (Call { region: "ap-atlantis", ..good() }, "UnsupportedRegion"),
        (Call { region: known::SHANGHAI_FSI, ..good() }, "UnsupportedRegion"),
        (Call { region: known::GUANGZHOU, ..good() }, "ResourceNotFound.InstanceNotExists"),
        (Call { body: "[]".into(), ..good() }, "InvalidParameter"),
        (with_body(json!({"InstanceId": known::ORDERS})), "MissingParameter"),
        (with_body(json!({"InstanceId": known::ORDERS, "BackupId": 7})), "InvalidParameter"),
        (with_body(json!({"InstanceId": known::ORDERS, "BackupId": "1", "Backup": 1})), "UnknownParameter"),
        (with_body(json!({"InstanceId": "crs-nothing", "BackupId": "1"})), "ResourceNotFound.InstanceNotExists"),
        (Call::urls_of(&sandbox, "1"), "InvalidParameterValue.BackupNotExists"),
        (Call::urls_of(&sandbox, known::UNFINISHED_BACKUP), "ResourceUnavailable.BackupStatusInvalid"),
        (Call::urls_of(&sandbox, known::EXPIRED_BACKUP), "ResourceUnavailable.BackupStatusInvalid"),
    ];

    for (call, code) in cases {
        let answer = call.send();

        assert_eq!((answer.status, answer.code().as_str()), (200, code), "{}", call.body);
    }
    assert_eq!(sandbox.control().counters().errors["UnsupportedRegion"], 2);
}

#[test]
fn every_fake_key_opens_and_a_removed_one_does_not() {
    let sandbox = start();
    let second = Call { id: credential::SECOND_SECRET_ID, key: credential::SECOND_SECRET_KEY, ..Call::urls(&sandbox) };
    let temporary = Call {
        id: credential::TEMPORARY_SECRET_ID,
        key: credential::TEMPORARY_SECRET_KEY,
        token: Some(credential::TEMPORARY_TOKEN),
        ..Call::urls(&sandbox)
    };
    let other = Call { id: credential::OTHER_SECRET_ID, key: credential::OTHER_SECRET_KEY, ..Call::urls(&sandbox) };

    let before: Vec<String> = [&second, &temporary, &other].map(|call| call.send().code()).into();
    let removed = sandbox.control().remove_credential(credential::SECOND_SECRET_ID);

    assert_eq!(before, ["", "", ""]);
    assert!(removed);
    assert_eq!(second.send().code(), "AuthFailure.SecretIdNotFound");
}

#[test]
fn a_financial_zone_answers_on_its_own_host_only() {
    let sandbox = start();
    let ledger = json!({"InstanceId": known::LEDGER, "BackupId": known::LEDGER_BACKUP});
    let there = Call {
        url: sandbox.fsi_url(),
        region: known::SHANGHAI_FSI,
        ..Call::new(&sandbox, "DescribeBackupUrl", &ledger)
    };
    let ordinary_region_there = Call { region: known::CHENGDU, ..there.clone() };

    assert_eq!(there.send().json()["Response"]["BackupInfos"].as_array().map(Vec::len), Some(3));
    assert_eq!(ordinary_region_there.send().code(), "UnsupportedRegion");
    assert_eq!(sandbox.endpoint_url("ap-shanghai-fsi"), Some(sandbox.fsi_url()));
}

#[test]
fn a_lenient_cloud_does_not_care_about_the_region_but_about_the_zone() {
    let sandbox = start();
    sandbox.control().update(|settings| settings.region_check = RegionCheck::Lenient);
    let elsewhere = Call { region: known::GUANGZHOU, ..Call::urls(&sandbox) };
    let ledger = Call::new(&sandbox, "DescribeBackupUrl", &json!({"InstanceId": known::LEDGER, "BackupId": "1"}));

    assert_eq!(elsewhere.send().code(), "");
    assert_eq!(ledger.send().code(), "ResourceNotFound.InstanceNotExists");
}

#[test]
fn synthetic_backups_exist_as_far_as_was_asked() {
    let sandbox = start();
    sandbox.control().update(|settings| settings.synthetic_backups = 3000);

    assert_eq!(Call::urls_of(&sandbox, "synthetic-2999").send().code(), "");
    assert_eq!(Call::urls_of(&sandbox, "synthetic-3000").send().code(), "InvalidParameterValue.BackupNotExists");
    assert_eq!(sandbox.control().counters().calls_for_backup(known::ORDERS, "synthetic-2999"), 1);
}

#[test]
fn backups_are_listed_finished_ones_first_asked_and_newest_first() {
    let sandbox = start();
    let list = |body: serde_json::Value| Call::new(&sandbox, "DescribeInstanceBackups", &body).send();
    let ids = |answer: &Answer| -> Vec<String> {
        let set = answer.json()["Response"]["BackupSet"].as_array().expect("a list").clone();
        set.iter().map(|backup| backup["BackupId"].as_str().expect("an id").to_owned()).collect()
    };
    let all = json!([-1, 1, 2, 3, 4]);

    let by_default = list(json!({"InstanceId": known::ORDERS}));
    let everything = list(json!({"InstanceId": known::ORDERS, "Status": all}));
    let second_page = list(json!({"InstanceId": known::ORDERS, "Status": all, "Limit": 3, "Offset": 6}));
    let november = list(json!({"InstanceId": known::ORDERS, "Status": all,
                               "BeginTime": "2026-11-20 00:00:00", "EndTime": "2026-11-22 23:59:59"}));

    assert_eq!(ids(&by_default).first().map(String::as_str), Some(known::ORDERS_LATEST));
    assert_eq!(by_default.json()["Response"]["TotalCount"], 3);
    assert_eq!(ids(&everything).len(), 7);
    assert_eq!(ids(&everything)[0], known::UNFINISHED_BACKUP);
    assert_eq!(ids(&second_page), [known::SEED_BACKUP]);
    assert_eq!(ids(&november).len(), 2);
    assert_eq!(list(json!({"Limit": 20, "Offset": 7})).code(), "InvalidParameterValue");
    assert_eq!(list(json!({"Limit": 101})).code(), "InvalidParameterValue");
    let long = json!({"BeginTime": "2026-10-01 00:00:00", "EndTime": "2026-11-01 00:00:00"});
    assert_eq!(list(long).code(), "InvalidParameterValue");
    assert_eq!(list(json!({"InstanceId": "crs-nothing"})).code(), "ResourceNotFound.InstanceNotExists");
}

#[test]
fn instances_are_listed_by_region_and_filter() {
    let sandbox = start();
    sandbox.control().update(|settings| settings.synthetic_instances = 1500);
    let list = |region, body: serde_json::Value| {
        let answer = Call { region, ..Call::new(&sandbox, "DescribeInstances", &body) }.send();
        answer.json()["Response"].clone()
    };

    let chengdu = list(known::CHENGDU, json!({}));
    let guangzhou = list(known::GUANGZHOU, json!({"Limit": 1000, "Offset": 1000}));
    let by_id = list(known::GUANGZHOU, json!({"InstanceId": known::SESSIONS}));

    assert_eq!(chengdu["InstanceSet"][0]["InstanceId"], known::ORDERS);
    assert_eq!(chengdu["InstanceSet"][0]["RedisShardNum"], 5);
    assert_eq!(chengdu["InstanceSet"][0]["ProductType"], "cluster");
    assert_eq!(guangzhou["TotalCount"], 1501);
    assert_eq!(guangzhou["InstanceSet"].as_array().map(Vec::len), Some(501));
    assert_eq!(by_id["TotalCount"], 1);
    assert_eq!(list(known::CHENGDU, json!({"Limit": 1001}))["Error"]["Code"], "InvalidParameterValue");
}

#[test]
fn the_shape_of_an_answer_changes_on_request() {
    let sandbox = start();
    let members = |shape| {
        sandbox.control().update(|settings| settings.shape = shape);
        let response = Call::urls(&sandbox).send().json()["Response"].clone();
        response.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();

    assert_eq!(members(Shape::backup_infos_only()), set(&["BackupInfos", "RequestId"]));
    assert_eq!(members(Shape::legacy_only()), set(&["DownloadUrl", "Filenames", "InnerDownloadUrl", "RequestId"]));
}

#[test]
fn a_defect_spoils_the_first_url() {
    let sandbox = start();
    let spoilt = |defect| {
        sandbox.control().update(|settings| settings.urls.defect = defect);
        first_urls(&Call::urls(&sandbox).send()).0
    };

    assert!(spoilt(UrlDefect::Relative).starts_with("/redis-database-backup"));
    assert!(spoilt(UrlDefect::Scheme).starts_with("ftp://127.0.0.1:"));
    assert!(spoilt(UrlDefect::Blank).contains(' '));
    assert!(spoilt(UrlDefect::Control).contains('\n'));
}

#[test]
fn endpoints_can_be_named_and_added() {
    let any = "127.0.0.1:0".parse().expect("an address");
    let endpoints = vec![EndpointOptions::ordinary("first", any), EndpointOptions::ordinary("second", any)];
    let sandbox = Sandbox::start(Options { endpoints, ..Options::default() }).expect("starts");
    let on_second = Call { url: sandbox.endpoint_url("second").expect("is there"), ..Call::urls(&sandbox) };

    let codes = [Call::urls(&sandbox).send().code(), on_second.send().code()];

    assert_eq!(codes, ["", ""]);
    assert_eq!(sandbox.control().counters().buckets.len(), 2);
    assert_eq!(sandbox.fsi_url(), "");
}
