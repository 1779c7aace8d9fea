//! The folder of policy files: which files count, and their texts.
//!
//! The only part of this room that touches the disk. It never reads without a bound.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    PolicyError, Position,
    compile::{ID_GRAMMAR, SourceFile, is_id},
};

/// The most files that a folder may hold.
const MAX_FILES: usize = 128;

/// The largest file. Written by people, a file holds some policies of some hundred bytes each.
const MAX_FILE_BYTES: u64 = 256 << 10;

const EXTENSION: &str = ".cedar";

/// The policy files of a folder in the order of their names; what cannot be read is added to `errors`.
pub(super) fn read(dir: &Path, errors: &mut Vec<PolicyError>) -> Vec<SourceFile> {
    let names = match list(dir) {
        Ok(names) if names.len() <= MAX_FILES => names,
        Ok(names) => {
            errors.push(PolicyError::new(dir, format!("{} policy files are more than {MAX_FILES}", names.len())));
            return Vec::new();
        }
        Err(error) => {
            errors.push(PolicyError::new(dir, format!("cannot be read: {error}")));
            return Vec::new();
        }
    };
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        match read_file(dir.join(&name), &name) {
            Ok(file) => files.extend(file),
            Err(error) => errors.push(error),
        }
    }
    files
}

/// A digest of all that [`read`] finds, what it cannot read included.
pub(super) fn fingerprint(dir: &Path) -> [u8; 32] {
    let mut errors = Vec::new();
    let files = read(dir, &mut errors);
    let mut digest = Sha256::new();
    let files = files.into_iter().map(|file| [file.stem, file.text]);
    for parts in files.chain(errors.iter().map(|error| [String::new(), error.to_string()])) {
        for part in parts {
            // The length stands before the text, so that no two folders read the same.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    digest.finalize().into()
}

/// The names that end in `.cedar`, sorted. Hidden ones are left out: editors keep their locks there, and Kubernetes the
/// folders that its links lead into.
fn list(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(EXTENSION.as_bytes()) && !bytes.starts_with(b".") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// `None` for a subfolder. Links are followed, for that is how a Kubernetes volume presents its files.
fn read_file(path: PathBuf, name: &OsStr) -> Result<Option<SourceFile>, PolicyError> {
    let unreadable = |error: io::Error| PolicyError::new(&path, format!("cannot be read: {error}"));
    let metadata = fs::metadata(&path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Ok(None);
    }
    if !metadata.is_file() {
        // Opening a pipe would wait for somebody to write into it.
        return Err(PolicyError::new(&path, "is not a regular file"));
    }
    let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)).filter(|stem| is_id(stem)) else {
        let message = format!("the name before {EXTENSION} must match {ID_GRAMMAR}, for policies are called after it");
        return Err(PolicyError::new(&path, message));
    };

    let mut bytes = Vec::new();
    File::open(&path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(PolicyError::new(&path, format!("is larger than {} KiB", MAX_FILE_BYTES >> 10)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(SourceFile { stem: stem.to_owned(), text, path })),
        Err(error) => {
            let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
            Err(PolicyError::at(&path, Some(Position::of(&valid, valid.len())), "is not UTF-8 from here on"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    fn read_all(dir: &Path) -> (Vec<String>, Vec<String>) {
        let mut errors = Vec::new();
        let files = read(dir, &mut errors);
        let relative = |error: &PolicyError| error.to_string().replace(&format!("{}/", dir.display()), "");
        (files.into_iter().map(|file| file.stem).collect(), errors.iter().map(relative).collect())
    }

    #[test]
    fn policy_files_are_read_in_the_order_of_their_names_and_the_rest_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.cedar", "a.cedar", "10.cedar", "9.cedar", ".hidden.cedar", "a.cedar~", "A.CEDAR", "README.md"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("more.cedar")).unwrap();
        fs::write(dir.path().join("more.cedar/c.cedar"), "").unwrap();

        let (stems, errors) = read_all(dir.path());

        assert_eq!(stems, ["10", "9", "a", "b"]);
        assert_eq!(errors, [""; 0]);
    }

    #[test]
    fn the_links_of_a_kubernetes_volume_are_followed_and_its_own_folders_are_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..2026_11_24")).unwrap();
        fs::write(dir.path().join("..2026_11_24/dba.cedar"), "// text").unwrap();
        symlink("..2026_11_24", dir.path().join("..data")).unwrap();
        symlink("..data/dba.cedar", dir.path().join("dba.cedar")).unwrap();

        let files = read(dir.path(), &mut Vec::new());

        assert_eq!(files.len(), 1);
        assert_eq!(files[0].text, "// text");
    }

    #[test]
    fn a_fingerprint_changes_with_names_texts_and_errors_and_with_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).unwrap();
            fingerprint(dir.path())
        };
        let mut seen =
            vec![fingerprint(dir.path()), write("a.cedar", ""), write("a.cedar", "b"), write("ab.cedar", "")];
        fs::rename(dir.path().join("ab.cedar"), dir.path().join("b.cedar")).unwrap();
        seen.push(fingerprint(dir.path()));
        seen.push(write("two words.cedar", ""));
        seen.push(fingerprint(&dir.path().join("nowhere")));
        let count = seen.len();
        let before = write("a.cedar", "b");

        let after = write("notes.txt", "not a policy");

        assert_eq!(before, after);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn what_cannot_be_a_policy_file_is_reported_and_does_not_hide_the_others() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("fine.cedar"), "").unwrap();
        fs::write(dir.path().join("two words.cedar"), "").unwrap();
        fs::write(dir.path().join("latin1.cedar"), b"// a\n// caf\xe9").unwrap();
        fs::write(dir.path().join("large.cedar"), vec![b' '; (256 << 10) + 1]).unwrap();
        fs::write(dir.path().join("just-fits.cedar"), vec![b' '; 256 << 10]).unwrap();
        symlink("nowhere", dir.path().join("broken.cedar")).unwrap();
        let _socket = UnixListener::bind(dir.path().join("socket.cedar")).unwrap();

        let (stems, errors) = read_all(dir.path());

        assert_eq!(stems, ["fine", "just-fits"]);
        assert_eq!(
            errors,
            [
                "broken.cedar: cannot be read: No such file or directory (os error 2)",
                "large.cedar: is larger than 256 KiB",
                "latin1.cedar:2:7: is not UTF-8 from here on",
                "socket.cedar: is not a regular file",
                "two words.cedar: the name before .cedar must match [A-Za-z0-9][A-Za-z0-9._-]{0,63}, for policies are \
                 called after it",
            ]
        );
    }

    #[test]
    fn a_folder_that_is_missing_or_holds_too_many_files_is_one_problem() {
        let dir = tempfile::tempdir().unwrap();

        let (_, errors) = read_all(&dir.path().join("nowhere"));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].ends_with("nowhere: cannot be read: No such file or directory (os error 2)"), "{errors:?}");

        for n in 0..=MAX_FILES {
            fs::write(dir.path().join(format!("{n}.cedar")), "").unwrap();
        }
        let (stems, errors) = read_all(dir.path());
        assert_eq!(stems, [""; 0]);
        assert!(errors[0].ends_with("129 policy files are more than 128"), "{errors:?}");
    }
}
