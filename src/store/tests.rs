use super::*;

/// What the store means by one of its errors, as it stands on the wire.
fn meant_by(line: &str) -> StoreError {
    let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
    StoreError::from(&value.extract_error().unwrap_err())
}

#[test]
fn a_store_that_is_of_no_use_is_known_by_its_code_inside_a_script_too() {
    let unfit = [
        ("READONLY You can't write against a read only replica.", Unfit::ReadOnly),
        // Redis 5 and 6.
        (
            "ERR Error running script (call to f_6d2a): @user_script:12: @user_script: 12: -READONLY You can't write \
             against a read only replica.",
            Unfit::ReadOnly,
        ),
        (
            "ERR Error running script (call to f_6d2a): @user_script:12: @user_script: 12: -OOM command not allowed when \
             used memory > 'maxmemory'.",
            Unfit::RefusesWrites,
        ),
        (
            "ERR Error running script (call to f_6d2a): @user_script:1: @user_script: 1: -NOPERM this user has no \
             permissions to run the 'getrange' command or its subcommand",
            Unfit::NotPermitted,
        ),
        ("LOADING Redis is loading the dataset in memory", Unfit::Busy),
        ("MOVED 3999 127.0.0.1:6381", Unfit::Cluster),
    ];
    for (line, unfit) in unfit {
        assert_eq!(meant_by(line), StoreError::Unfit(unfit), "{line}");
    }
}

#[test]
fn an_error_of_a_script_itself_is_no_state_of_the_store() {
    for line in [
        "ERR Error running script (call to f_6d2a): @user_script:3: user_script:3: attempt to index a nil value - nothing",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR unknown command - READONLY",
    ] {
        assert_eq!(meant_by(line), StoreError::Unexpected, "{line}");
    }
}
