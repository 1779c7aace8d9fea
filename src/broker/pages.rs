//! Any part of a list, put together from the pages that the vendor has.
//!
//! Its offsets are multiples of its limit; ours are free. Pure: it only says which pages to ask for.

use crate::tencent::wire::Page;

/// A part of a list, as callers ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Entries to pass over.
    pub offset: u32,
    /// Entries to list, 1 to 100.
    pub limit: u32,
}

/// The pages that hold a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cover {
    /// The page that the slice begins in.
    pub(super) first: Page,
    /// The page after it, where the slice ends in that one.
    pub(super) second: Option<Page>,
    /// Entries of the first page that stand before the slice.
    pub(super) skip: usize,
}

/// The vendor's longest page of backups.
pub(super) const LONGEST_PAGE: u32 = 100;

impl Slice {
    /// The one page that holds this slice, and the shortest of those; two neighbours where none does.
    ///
    /// A page more is a token of the quota more, so one long page is better than two that fit.
    pub(super) fn cover(self) -> Cover {
        let Self { offset, limit } = self;
        let fitting = (limit..=LONGEST_PAGE).find(|length| offset % length + limit <= *length);
        let length = fitting.unwrap_or(limit);
        let skip = offset % length;
        let first = Page { offset: offset - skip, limit: length };
        let second = fitting.is_none().then(|| Page { offset: first.offset.saturating_add(length), limit: length });
        Cover { first, second, skip: skip as usize }
    }

    /// This part of what the covering pages list, joined.
    pub(super) fn of<T>(self, cover: &Cover, entries: impl Iterator<Item = T>) -> Vec<T> {
        entries.skip(cover.skip).take(self.limit as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_page_does_wherever_one_can() {
        let table = [
            ((0, 20), (0, 20), false),
            ((20, 20), (20, 20), false),
            ((7, 20), (0, 27), false),
            ((30, 20), (25, 25), false),
            ((1, 1), (1, 1), false),
            ((1, 99), (0, 100), false),
            ((1, 100), (0, 100), true),
            ((250, 100), (200, 100), true),
        ];

        for ((offset, limit), (page_offset, page_limit), is_two) in table {
            let cover = Slice { offset, limit }.cover();

            assert_eq!(cover.first, Page { offset: page_offset, limit: page_limit }, "{offset} {limit}");
            assert_eq!(cover.second.is_some(), is_two, "{offset} {limit}");
        }
    }

    proptest! {
        #[test]
        fn every_slice_comes_out_of_pages_that_the_vendor_has(
            offset in 0_u32..2_000_000_000, limit in 1_u32..=100, past_the_end in 0_u32..300,
        ) {
            let slice = Slice { offset, limit };
            let total = offset.saturating_add(past_the_end);
            let cover = slice.cover();
            let entries = |page: Page| page.offset..page.offset.saturating_add(page.limit).min(total).max(page.offset);

            let listed = entries(cover.first).chain(cover.second.into_iter().flat_map(entries));
            let found = slice.of(&cover, listed);

            for page in std::iter::once(cover.first).chain(cover.second) {
                prop_assert!((1..=LONGEST_PAGE).contains(&page.limit));
                prop_assert_eq!(page.offset % page.limit, 0);
            }
            let wanted: Vec<_> = (offset..offset.saturating_add(limit).min(total)).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
