use super::*;
use proptest::prelude::*;

/// Every code that the vendor's documents name for this API: of `DescribeBackupUrl` and the other backup actions, and
/// the common ones; with the class and whether it is worth another attempt.
const CODES: &[(&str, Class, bool)] = &[
    // DescribeBackupUrl
    ("FailedOperation.SystemError", Class::Failed, true),
    ("InternalError.InternalError", Class::Failed, true),
    ("InternalError.DbOperationFailed", Class::Failed, true),
    ("InvalidParameter.PermissionDenied", Class::Denied, false),
    ("InvalidParameterValue.BackupNotExists", Class::BackupNotFound, false),
    ("ResourceNotFound.InstanceNotExists", Class::InstanceNotFound, false),
    ("ResourceUnavailable.BackupStatusInvalid", Class::BackupNotReady, false),
    ("UnauthorizedOperation.NoCAMAuthed", Class::Denied, false),
    ("UnauthorizedOperation.UserNotInWhiteList", Class::Denied, false),
    ("UnsupportedOperation.ClusterInstanceAccessedDeny", Class::UnsupportedByInstance, false),
    ("UnsupportedOperation.IsAutoRenewError", Class::UnsupportedByInstance, false),
    ("UnsupportedOperation.OnlyClusterInstanceCanExportBackup", Class::UnsupportedByInstance, false),
    // DescribeInstanceBackups and other backup actions
    ("InvalidParameter.InvalidParameter", Class::InvalidRequest, false),
    ("InvalidParameter.EmptyParam", Class::InvalidRequest, false),
    ("InvalidParameter.Period", Class::InvalidRequest, false),
    ("InvalidParameter.NotSupported", Class::InvalidRequest, false),
    ("InvalidParameter.ActionNotFound", Class::InvalidRequest, false),
    ("ResourceUnavailable.BackupLockedError", Class::BackupNotReady, false),
    ("ResourceUnavailable.BackupSpecError", Class::BackupNotReady, false),
    ("ResourceUnavailable.BackupStatusAbnormal", Class::BackupNotReady, false),
    ("ResourceUnavailable.InstanceDeleted", Class::BackupNotReady, false),
    ("ResourceUnavailable.InstanceIsolated", Class::BackupNotReady, false),
    ("ResourceUnavailable.InstanceLockedError", Class::BackupNotReady, false),
    ("ResourceUnavailable.InstanceStateError", Class::BackupNotReady, false),
    ("ResourceUnavailable.InstanceStatusAbnormal", Class::BackupNotReady, false),
    ("ResourceUnavailable.CallOssError", Class::BackupNotReady, false),
    ("ResourceNotFound.InstanceNotFound", Class::InstanceNotFound, false),
    ("ResourceNotFound.AccountDoesNotExists", Class::InstanceNotFound, false),
    ("InternalError.ExecHttpRequestError", Class::Failed, true),
    ("InternalError.NetWorkErr", Class::Failed, true),
    ("InternalError.CamAuthOssResponseReturnCodeError", Class::Failed, true),
    // common to all products
    ("ActionOffline", Class::Failed, false),
    ("AuthFailure", Class::Denied, false),
    ("AuthFailure.InvalidAuthorization", Class::Denied, false),
    ("AuthFailure.InvalidSecretId", Class::Denied, false),
    ("AuthFailure.MFAFailure", Class::Denied, false),
    ("AuthFailure.SecretIdNotFound", Class::Denied, false),
    ("AuthFailure.SignatureExpire", Class::Denied, false),
    ("AuthFailure.SignatureFailure", Class::Denied, false),
    ("AuthFailure.TokenFailure", Class::Denied, false),
    ("AuthFailure.UnauthorizedOperation", Class::Denied, false),
    ("DryRunOperation", Class::Failed, false),
    ("FailedOperation", Class::Failed, false),
    ("InternalError", Class::Failed, true),
    ("InvalidAction", Class::Failed, false),
    ("InvalidParameter", Class::InvalidRequest, false),
    ("InvalidParameterValue", Class::InvalidRequest, false),
    ("InvalidRequest", Class::Failed, false),
    ("IpInBlacklist", Class::Failed, false),
    ("IpNotInWhitelist", Class::Failed, false),
    ("LimitExceeded", Class::Failed, false),
    ("MissingParameter", Class::InvalidRequest, false),
    ("NoSuchProduct", Class::Failed, false),
    ("NoSuchVersion", Class::Failed, false),
    ("RequestLimitExceeded", Class::RateLimited, true),
    ("RequestLimitExceeded.GlobalRegionUinLimitExceeded", Class::RateLimited, true),
    ("RequestLimitExceeded.IPLimitExceeded", Class::RateLimited, true),
    ("RequestLimitExceeded.UinLimitExceeded", Class::RateLimited, true),
    ("RequestSizeLimitExceeded", Class::Failed, false),
    ("ResourceInUse", Class::Failed, false),
    ("ResourceInsufficient", Class::Failed, false),
    ("ResourceNotFound", Class::InstanceNotFound, false),
    ("ResourceUnavailable", Class::BackupNotReady, false),
    ("ResponseSizeLimitExceeded", Class::Failed, false),
    ("ServiceUnavailable", Class::Failed, true),
    ("UnauthorizedOperation", Class::Denied, false),
    ("UnknownParameter", Class::Failed, false),
    ("UnsupportedOperation", Class::UnsupportedByInstance, false),
    ("UnsupportedProtocol", Class::Failed, false),
    ("UnsupportedRegion", Class::Failed, false),
    // none of theirs
    ("ResourceNotFoundX", Class::Failed, false),
    ("internalerror", Class::Failed, false),
    ("InternalErrors.X", Class::Failed, false),
    ("", Class::Failed, false),
];

fn refused(code: &str) -> CallError {
    CallError::refused(code, "what happened", "8b7a")
}

#[test]
fn every_code_of_the_vendor_has_its_class_and_its_verdict_on_another_attempt() {
    for (code, class, retryable) in CODES {
        assert_eq!(classify(code), *class, "{code}");
        assert_eq!(refused(code).is_retryable(), *retryable, "{code}");
    }
}

#[test]
fn what_broke_on_the_way_is_worth_another_attempt() {
    for (error, retryable) in [
        (CallError::Connect(Unreachable::NoAddress), true),
        (CallError::Connect(Unreachable::Io(io::ErrorKind::ConnectionRefused)), true),
        (CallError::Dropped, true),
        (CallError::Timeout, true),
        (CallError::Status(500), true),
        (CallError::Status(503), true),
        (CallError::Status(404), false),
        (CallError::Status(302), false),
        (CallError::Malformed(Defect::NotAnAnswer), true),
        (CallError::Malformed(Defect::TooLong), false),
        (CallError::Malformed(Defect::NoFiles), false),
        (CallError::Malformed(Defect::MissingUrl), false),
        (CallError::Malformed(Defect::UnusableUrl), false),
    ] {
        assert_eq!(error.is_retryable(), retryable, "{error:?}");
    }
}

#[test]
fn the_message_is_kept_as_one_line_of_bounded_length() {
    let message = format!(" two\r\nlines\0{}", "x".repeat(1000));

    let CallError::Refused { message: Some(kept), .. } = CallError::refused("InternalError", &message, "") else {
        panic!("a refusal with a message");
    };

    assert!(kept.starts_with("two  lines x"), "{kept}");
    assert!(kept.chars().count() <= MESSAGE_LIMIT);
}

#[test]
fn the_message_of_a_denial_is_dropped() {
    let denied = CallError::refused("AuthFailure.SecretIdNotFound", "the key AKIDxyz of 1000001", "8b7a");

    assert!(matches!(denied, CallError::Refused { class: Class::Denied, message: None, .. }));
    assert!(!format!("{denied} {denied:?}").contains("AKIDxyz"));
}

#[test]
fn a_refusal_has_a_class_and_an_id_and_a_failure_on_the_way_has_neither() {
    let refused = refused("ResourceNotFound.InstanceNotExists");

    assert_eq!(refused.class(), Some(Class::InstanceNotFound));
    assert_eq!(refused.request_id().map(UpstreamRequestId::as_str), Some("8b7a"));
    assert_eq!((CallError::Dropped.class(), CallError::Dropped.request_id()), (None, None));
}

#[test]
fn why_there_is_no_connection_is_the_source_and_not_the_text_of_the_error() {
    let error = CallError::Connect(Unreachable::Tls("invalid peer certificate".into()));

    let source = std::error::Error::source(&error).map(ToString::to_string);

    assert_eq!(error.to_string(), "no connection to the upstream");
    assert_eq!(source.as_deref(), Some("TLS: invalid peer certificate"));
}

#[test]
fn codes_and_ids_that_are_none_are_not_repeated() {
    for text in ["", "a b", "a\nb", "ä", "<script>", &"a".repeat(129)] {
        assert_eq!(UpstreamCode::new(text).as_str(), "malformed");
        assert_eq!(UpstreamRequestId::new(text).as_str(), "unknown");
    }
    assert_eq!(UpstreamCode::new("A.B_c-1").to_string(), "A.B_c-1");
    assert_eq!(UpstreamRequestId::new("f1b5aabe-806a-4886-b839-9907baa24c85").as_str().len(), 36);
}

#[test]
fn the_bound_of_the_pause_doubles_up_to_its_cap() {
    let longest = |error: &CallError, attempt| error.backoff(attempt, u64::MAX).as_millis() + 1;
    let limited = refused("RequestLimitExceeded");

    assert_eq!(
        [0, 1, 2, 3, 4, 99].map(|attempt| longest(&CallError::Timeout, attempt)),
        [100, 200, 400, 800, 1000, 1000]
    );
    assert_eq!([0, 1, 2, 3].map(|attempt| longest(&limited, attempt)), [1000, 2000, 4000, 4000]);
    assert_eq!(CallError::Timeout.backoff(3, 0), Duration::ZERO);
    assert_eq!(limited.backoff(0, 0), Duration::from_millis(500));
}

proptest! {
    #[test]
    fn no_pause_leaves_its_bounds(attempt in any::<u32>(), random in any::<u64>()) {
        prop_assert!(CallError::Dropped.backoff(attempt, random) < Duration::from_secs(1));
        let limited = refused("RequestLimitExceeded").backoff(attempt, random);
        prop_assert!((Duration::from_millis(500)..Duration::from_secs(4)).contains(&limited));
    }

    #[test]
    fn any_text_of_the_vendor_can_be_shown(code in any::<String>(), message in any::<String>(), id in any::<String>()) {
        let error = CallError::refused(&code, &message, &id);
        prop_assert!(!error.to_string().chars().any(char::is_control));
    }
}

#[test]
fn the_kind_of_every_call_that_was_made_is_listed_once() {
    let refusals = CODES.iter().map(|(code, ..)| CallError::refused(code, "", "r").kind());
    let others = [
        CallError::Status(500),
        CallError::Connect(Unreachable::NoAddress),
        CallError::Dropped,
        CallError::Timeout,
        CallError::Malformed(Defect::NoFiles),
    ];

    let met: std::collections::BTreeSet<_> = refusals.chain(others.iter().map(CallError::kind)).collect();
    let mut listed: Vec<_> = CallError::kinds_of_calls().collect();
    listed.sort_unstable();

    assert_eq!(listed, met.into_iter().collect::<Vec<_>>());
}
