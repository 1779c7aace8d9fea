//! The name of a role. Pure.

use std::{fmt, sync::Arc};

/// A role as the vendor names it, `qcs::cam::uin/100000000001:roleName/redis-backup-reader`. It names an account, and
/// opens nothing by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct RoleArn(Arc<str>);

/// Why a text is not the name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be qcs::cam::uin/<account>:roleName/<name>")]
pub struct InvalidRoleArn;

impl RoleArn {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for RoleArn {
    type Error = InvalidRoleArn;

    fn try_from(text: &str) -> Result<Self, InvalidRoleArn> {
        let rest = text.strip_prefix("qcs::cam::uin/").ok_or(InvalidRoleArn)?;
        let (account, role) = rest.split_once(':').ok_or(InvalidRoleArn)?;
        // Roles of the vendor's own services have the second form.
        let name = role.strip_prefix("roleName/").or_else(|| role.strip_prefix("role/")).ok_or(InvalidRoleArn)?;
        let is_account = (1..=20).contains(&account.len()) && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = (1..=256).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@/-".contains(&byte));
        if is_account && is_name { Ok(Self(text.into())) } else { Err(InvalidRoleArn) }
    }
}

impl fmt::Debug for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoleArn({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_with_its_account() {
        for text in [
            "qcs::cam::uin/100000000001:roleName/redis-backup-reader",
            "qcs::cam::uin/1:role/tencentcloudServiceRole/4611686018427397919",
            "qcs::cam::uin/1:roleName/a_b+c=d,e.f@g-h",
        ] {
            assert_eq!(RoleArn::try_from(text).unwrap().as_str(), text);
        }
        for text in [
            "",
            "redis-backup-reader",
            "qcs::cam::uin/:roleName/x",
            "qcs::cam::uin/1:roleName/",
            "qcs::cam::uin/x:roleName/y",
            "qcs::cam::uin/1:user/y",
            "qcs::cam::uin/1:roleName/two words",
            "qcs::cam::uin/1:roleName/y\n",
        ] {
            assert_eq!(RoleArn::try_from(text), Err(InvalidRoleArn), "{text:?}");
        }
    }
}
