//! The files of one backup, as they are kept: their texts together in one place, which can be the answer that shows them.

use std::{fmt, num::NonZero, str};

use bytes::Bytes;
use bytestring::ByteString;

use super::SignedUrl;
use crate::tencent::{
    cos_url,
    error::{Defect, UpstreamRequestId},
};

/// The files of one backup, in the vendor's order; at least one.
#[derive(Clone)]
pub struct BackupUrls {
    /// The vendor's id of the call.
    pub request_id: UpstreamRequestId,
    /// Every name and every URL stands in it; it may hold more.
    texts: ByteString,
    files: Box<[Places]>,
}

/// One file of a backup. At least one of its URLs is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupFile<'a> {
    /// The vendor's name for it, else the last segment of a URL's path as it is written there.
    pub name: &'a str,
    /// Its size, where the vendor says one.
    pub size_bytes: Option<NonZero<u64>>,
    /// The address on the public internet.
    pub download_url: Option<SignedUrl<'a>>,
    /// The address inside the vendor's network.
    pub inner_download_url: Option<SignedUrl<'a>>,
}

/// A file, by where its texts stand. What is empty or not there stands nowhere.
#[derive(Clone, Copy)]
struct Places {
    name: Option<Place>,
    size_bytes: Option<NonZero<u64>>,
    download_url: Option<Place>,
    inner_download_url: Option<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    at: u32,
    length: NonZero<u32>,
}

impl BackupUrls {
    /// Keeps a copy of the texts of `files`.
    ///
    /// # Errors
    ///
    /// [`Defect::TooLong`] where their texts are longer than 4 GiB together.
    pub(super) fn new(files: &[BackupFile<'_>], request_id: UpstreamRequestId) -> Result<Self, Defect> {
        let length = |file: &BackupFile<'_>| file.name.len() + file.urls().map(|url| url.expose().len()).sum::<usize>();
        // As long as they are, for they are kept.
        let mut texts = String::with_capacity(files.iter().map(length).sum());
        let mut keep = |text: &str| {
            let at = texts.len();
            texts.push_str(text);
            Place::new(at, text.len())
        };
        let mut places = |file: &BackupFile<'_>| {
            Ok(Places {
                name: keep(file.name)?,
                size_bytes: file.size_bytes,
                download_url: keep(file.download_url.map_or("", SignedUrl::expose))?,
                inner_download_url: keep(file.inner_download_url.map_or("", SignedUrl::expose))?,
            })
        };
        let files = files.iter().map(&mut places).collect::<Result<_, Defect>>()?;
        Ok(Self { request_id, texts: texts.into(), files })
    }

    /// The files.
    pub fn files(&self) -> impl ExactSizeIterator<Item = BackupFile<'_>> {
        self.files.iter().map(|places| BackupFile {
            name: self.text(places.name).unwrap_or_default(),
            size_bytes: places.size_bytes,
            download_url: self.text(places.download_url).map(SignedUrl::known),
            inner_download_url: self.text(places.inner_download_url).map(SignedUrl::known),
        })
    }

    /// All URLs, public before inner in each file.
    pub fn urls(&self) -> impl Iterator<Item = SignedUrl<'_>> {
        self.files().flat_map(BackupFile::urls)
    }

    /// Whether one of the URLs was made with a temporary key, and dies with that key at a time that nobody here knows.
    pub fn carry_security_token(&self) -> bool {
        self.urls().any(|url| cos_url::carries_security_token(url.expose()))
    }

    /// Reads the texts in `answer` from now on and lets go of what held them, where all of them stand there byte for byte
    /// and in their order. Else nothing changes.
    pub fn read_in(&mut self, answer: &Bytes) {
        if let Some(files) = self.places_in(answer)
            && let Ok(answer) = ByteString::try_from(answer.clone())
        {
            (self.texts, self.files) = (answer, files);
        }
    }

    /// Bytes that this takes beside `answer`, in which its texts may stand.
    pub fn own_bytes(&self, answer: &Bytes) -> usize {
        let is_there = self.texts.as_bytes().as_ptr_range() == answer.as_ptr_range();
        size_of_val(&*self.files) + if is_there { 0 } else { self.texts.len() }
    }

    fn places_in(&self, answer: &[u8]) -> Option<Box<[Places]>> {
        let answer = str::from_utf8(answer).ok()?;
        // Forwards alone, so that it is one pass over the answer, whatever the texts are.
        let mut from = 0;
        let mut find = |place: Option<Place>| {
            let Some(text) = self.text(place) else { return Some(None) };
            let at = from + answer[from..].find(text)?;
            from = at + text.len();
            Place::new(at, text.len()).ok()
        };
        let mut places = |places: &Places| {
            Some(Places {
                name: find(places.name)?,
                size_bytes: places.size_bytes,
                download_url: find(places.download_url)?,
                inner_download_url: find(places.inner_download_url)?,
            })
        };
        self.files.iter().map(&mut places).collect()
    }

    fn text(&self, place: Option<Place>) -> Option<&str> {
        let Place { at, length } = place?;
        let at = usize::try_from(at).ok()?;
        self.texts.get(at..at + usize::try_from(length.get()).ok()?)
    }
}

impl Place {
    fn new(at: usize, length: usize) -> Result<Option<Self>, Defect> {
        let short = |number: usize| u32::try_from(number).map_err(|_| Defect::TooLong);
        let (at, length) = (short(at)?, short(length)?);
        Ok(NonZero::new(length).map(|length| Self { at, length }))
    }
}

impl<'a> BackupFile<'a> {
    /// The URLs of the file, public before inner.
    pub fn urls(self) -> impl Iterator<Item = SignedUrl<'a>> {
        self.download_url.into_iter().chain(self.inner_download_url)
    }
}

impl PartialEq for BackupUrls {
    fn eq(&self, other: &Self) -> bool {
        self.request_id == other.request_id && self.files().eq(other.files())
    }
}

impl Eq for BackupUrls {}

impl fmt::Debug for BackupUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_id, .. } = self;
        let files: Vec<_> = self.files().collect();
        f.debug_struct("BackupUrls").field("request_id", request_id).field("files", &files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn urls(files: &[BackupFile<'_>]) -> BackupUrls {
        BackupUrls::new(files, UpstreamRequestId::new("id-1")).unwrap()
    }

    fn file(name: &'static str) -> BackupFile<'static> {
        let url = |text| Some(SignedUrl::try_from(text).unwrap());
        BackupFile {
            name,
            size_bytes: NonZero::new(7),
            download_url: url("https://p/k.rdb?sign=a"),
            inner_download_url: url("https://i/k.rdb?sign=b"),
        }
    }

    #[test]
    fn texts_are_read_in_the_answer_where_all_of_them_stand_there() {
        let answers = [
            "k.rdb https://p/k.rdb?sign=a https://i/k.rdb?sign=b",
            // Where it stands does not matter, as long as it is the same text.
            "{\"a\":\"k.rdb\",\"name\":\"k.rdb\",\"1\":\"https://p/k.rdb?sign=a\",\"2\":\"https://i/k.rdb?sign=b\"}",
        ];
        for answer in answers.map(Bytes::from) {
            let kept = urls(&[file("k.rdb")]);
            let mut read = kept.clone();

            read.read_in(&answer);

            assert_eq!(read, kept);
            assert_eq!(read.own_bytes(&answer), size_of::<Places>(), "{answer:?}");
        }
    }

    #[test]
    fn texts_stay_where_they_are_when_the_answer_lacks_alters_or_moves_one() {
        let answers: [&[u8]; 5] = [
            b"",
            b"https://i/k.rdb?sign=b https://p/k.rdb?sign=a k.rdb",
            b"k.rdb https://p/k.rdb?sign=a",
            b"k\\u002erdb https:\\/\\/p\\/k.rdb?sign=a https:\\/\\/i\\/k.rdb?sign=b",
            b"k.rdb https://p/k.rdb?sign=a https://i/k.rdb?sign=b \xff",
        ];
        for answer in answers.map(Bytes::from_static) {
            let kept = urls(&[file("k.rdb")]);
            let mut read = kept.clone();

            read.read_in(&answer);

            assert_eq!(read, kept);
            assert_eq!(read.own_bytes(&answer), size_of::<Places>() + kept.texts.len(), "{answer:?}");
        }
    }

    /// Were it looked for from the beginning each time, this would take minutes.
    #[test]
    fn an_answer_made_to_be_searched_again_and_again_is_searched_once() {
        let files = vec![file("{\"a\""); 20_000];
        let answer = Bytes::from(format!("{{\"a\":[{}]}}", "\"{\\\"a\\\"\",".repeat(files.len() * 8)));
        let mut read = urls(&files);

        read.read_in(&answer);

        assert_eq!(read.files().len(), files.len());
        assert!(read.files().eq(files));
    }

    #[test]
    fn a_file_takes_as_few_bytes_as_its_numbers() {
        assert_eq!(size_of::<Places>(), 4 * 8);
    }

    #[test]
    fn urls_do_not_show() {
        let shown = format!("{:?}", urls(&[file("k.rdb")]));

        assert!(shown.contains("k.rdb") && !shown.contains("sign="), "{shown}");
    }

    proptest! {
        #[test]
        fn whatever_the_answer_the_files_stay_the_same(
            names in proptest::collection::vec("[ab/é]{0,3}", 1..5),
            keys in proptest::collection::vec("[ab/é]{0,3}", 5),
            answer in "[ab/é]{0,9}",
            is_whole in any::<bool>(),
        ) {
            let texts: Vec<_> = keys.iter().map(|key| format!("https://h/{key}")).collect();
            let url = |at: usize| texts.get(at).map(|text| SignedUrl::try_from(text.as_str()).unwrap());
            let files: Vec<_> = names.iter().enumerate().map(|(at, name)| BackupFile {
                name,
                size_bytes: NonZero::new(at as u64),
                download_url: url(at),
                inner_download_url: url(4 - at).filter(|_| at % 2 == 1),
            }).collect();
            let shown = |file: &BackupFile<'_>| file.urls().fold(file.name.to_owned(), |all, url| all + url.expose());
            let answer = if is_whole { answer + &files.iter().map(shown).collect::<String>() } else { answer };
            let answer = Bytes::from(answer);

            let mut read = urls(&files);
            read.read_in(&answer);

            prop_assert!(read.files().eq(files));
            prop_assert!(!is_whole || read.own_bytes(&answer) == names.len() * size_of::<Places>());
        }
    }
}
