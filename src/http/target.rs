//! What a path below `/instances` names. Split by hand: the router's regular expressions took a tenth of a hit.

/// What is named, in the words of the path; whether they are ids is asked later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// The instances.
    Instances,
    /// The backups of an instance.
    Backups {
        /// The instance.
        instance: &'a str,
    },
    /// The URLs of a backup.
    Urls {
        /// The instance.
        instance: &'a str,
        /// The backup.
        backup: &'a str,
    },
    /// One file of a backup.
    File {
        /// The instance.
        instance: &'a str,
        /// The backup.
        backup: &'a str,
        /// Which one.
        n: &'a str,
    },
}

/// What stands in `path` behind `/instances`, where it is a path of resources: nothing, or a slash and more.
pub(super) fn behind_gate(path: &str) -> Option<&str> {
    path.strip_prefix("/instances").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl<'a> Target<'a> {
    /// What `rest` names, which stands [behind](behind_gate) `/instances`. It was percent-decoded once by the web server,
    /// save `%25` and `%2F`, which no grammar here admits.
    pub(super) fn of(rest: &'a str) -> Option<Self> {
        let mut rest = rest;
        let mut next = || segment(&mut rest);
        let target = match (next(), next(), next(), next(), next(), next()) {
            (None, ..) => Self::Instances,
            (Some(instance), Some("backups"), None, ..) => Self::Backups { instance },
            (Some(instance), Some("backups"), Some(backup), Some("urls"), None, _) => Self::Urls { instance, backup },
            (Some(instance), Some("backups"), Some(backup), Some("files"), Some(n), None) => {
                Self::File { instance, backup, n }
            }
            _ => return None,
        };
        target.is_named().then_some(target)
    }

    /// Nothing is named by an empty segment.
    fn is_named(self) -> bool {
        match self {
            Self::Instances => true,
            Self::Backups { instance } => !instance.is_empty(),
            Self::Urls { instance, backup } => !instance.is_empty() && !backup.is_empty(),
            Self::File { instance, backup, n } => !instance.is_empty() && !backup.is_empty() && !n.is_empty(),
        }
    }
}

/// Takes the next segment and the slash before it off `rest`.
fn segment<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let behind = rest.strip_prefix('/')?;
    let end = behind.bytes().position(|byte| byte == b'/').unwrap_or(behind.len());
    let (segment, others) = behind.split_at(end);
    *rest = others;
    Some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_one_shape() {
        let (instance, backup, n) = ("i", "b", "1");

        assert_eq!(Target::of(""), Some(Target::Instances));
        assert_eq!(Target::of("/i/backups"), Some(Target::Backups { instance }));
        assert_eq!(Target::of("/i/backups/b/urls"), Some(Target::Urls { instance, backup }));
        assert_eq!(Target::of("/i/backups/b/files/1"), Some(Target::File { instance, backup, n }));
    }

    #[test]
    fn whatever_else_stands_there_names_nothing() {
        for rest in [
            "/",
            "//",
            "/i",
            "/i/",
            "/i/backup",
            "/i/backups/",
            "//backups",
            "/i/backups/b",
            "/i/backups/b/",
            "/i/backups//urls",
            "/i/backups/b/urls/",
            "//i/backups/b/urls",
            "/i/backups/b/URLs",
            "/i/backups/b/files",
            "/i/backups/b/files/",
            "/i/backups/b/files/1/",
            "/i/backups/b/files/1/2",
        ] {
            assert_eq!(Target::of(rest), None, "{rest}");
        }
    }
}
