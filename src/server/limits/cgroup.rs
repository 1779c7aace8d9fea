//! How much memory the control group of the process lets it have.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the kernel shows control groups, of both versions.
const MOUNT: &str = "/sys/fs/cgroup";

/// What version 1 says where there is no limit: the largest number of whole pages. Nobody has so much memory.
const NO_LIMIT: u64 = 1 << 60;

/// The limit in bytes; nothing where there is none, or no control group.
pub(super) fn memory_limit() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    smallest_limit(&membership, |file| fs::read_to_string(file).ok())
}

/// The smallest limit of the group that `membership` (`/proc/self/cgroup`, `cgroups(7)`) names and of all above it.
/// Where the process sees its own group as the root, or only that is mounted, those between are not there to be read.
fn smallest_limit(membership: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    files(membership).iter().filter_map(|file| read(file)?.trim().parse().ok()).filter(|limit| *limit < NO_LIMIT).min()
}

fn files(membership: &str) -> Vec<PathBuf> {
    let groups = membership.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, file) = match controllers {
            "" => (MOUNT.into(), "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (Path::new(MOUNT).join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        Some((root, Path::new(path.trim_start_matches('/')).to_owned(), file))
    });
    groups
        .flat_map(|(root, path, file)| path.ancestors().map(|group| root.join(group).join(file)).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(membership: &str, files: &[(&str, &str)]) -> Option<u64> {
        smallest_limit(membership, |file| {
            files.iter().find(|(path, _)| Path::new(path) == file).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_holds_in_both_versions() {
        let (second, first) = ("0::/pods/one\n", "5:cpu:/\n4:hugetlb,memory:/pods/one\n1:name=systemd:/\n0::/\n");
        let max = "/sys/fs/cgroup/pods/one/memory.max";
        let max_above = "/sys/fs/cgroup/pods/memory.max";
        let limit_of_first = "/sys/fs/cgroup/memory/pods/one/memory.limit_in_bytes";
        for (membership, files, expected) in [
            (second, &[(max, "268435456\n")][..], Some(268_435_456)),
            (second, &[(max, "max\n"), (max_above, "1024\n")], Some(1024)),
            (second, &[(max, "512\n"), (max_above, "1024\n")], Some(512)),
            (second, &[(max, "max\n")], None),
            ("0::/\n", &[("/sys/fs/cgroup/memory.max", "4096\n")], Some(4096)),
            (first, &[(limit_of_first, "2048\n")], Some(2048)),
            (first, &[(limit_of_first, "9223372036854771712\n")], None),
            // A container that sees its own group alone, at the root.
            (first, &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", "8192\n")], Some(8192)),
            (second, &[], None),
            (second, &[(max, "much\n")], None),
            ("", &[(max, "1\n")], None),
            ("no group\n", &[(max, "1\n")], None),
        ] {
            assert_eq!(limit(membership, files), expected, "{membership} {files:?}");
        }
    }
}
