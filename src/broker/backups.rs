//! The backups of an instance: their list, and the newest of them.
//!
//! Nothing is kept, for a backup may appear at any moment; those who ask for the same at the same time share a call.

use std::{rc::Rc, sync::Arc, time::Duration};

use super::{
    Asker, Failure, Settled, Worker,
    attempts::NO_LIMIT,
    flights::{Flights, Pilot},
    pages::{LONGEST_PAGE, Slice},
    permission::Wish,
};
use crate::{
    audit::Record,
    cache::Negative,
    domain::{Action, BackupId, InstanceId, Network, Region},
    tencent::{
        ApiAction,
        error::{CallError, Class, Defect},
        wire::{Backup, BackupFilter, BackupPage, BackupStatus, Page},
    },
};

/// A request for the backups of one instance.
#[derive(Clone, Debug)]
pub struct BackupsAsk {
    /// Who asks.
    pub asker: Rc<Asker>,
    /// The instance.
    pub instance: InstanceId,
    /// The region, where the caller named one: a configured one.
    pub region: Option<Region>,
    /// Which backups are listed.
    pub filter: BackupFilter,
    /// Which part of them.
    pub slice: Slice,
}

/// A part of the backups of one instance, in the upstream's order.
#[derive(Clone, Debug)]
pub struct BackupList {
    /// The region that answered.
    pub region: Region,
    /// The backups.
    pub backups: Vec<Backup>,
    /// How many pass the filter, on all pages.
    pub total: u64,
}

/// What is under way, and what does not exist.
pub(super) struct Backups {
    flights: Flights<PageKey, Arc<BackupPage>>,
    missing: Negative<(Region, InstanceId), Arc<CallError>>,
}

/// One call.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PageKey {
    region: Region,
    instance: InstanceId,
    filter: BackupFilter,
    page: Page,
}

/// Pages after which the search for the newest backup is given up, where the list is in no order: ten thousand backups
/// of one instance.
const MOST_PAGES: u32 = 100;

impl Backups {
    pub(super) fn new(negative_ttl: Duration) -> Self {
        Self { flights: Flights::new(), missing: Negative::new(negative_ttl) }
    }
}

impl Worker {
    /// A part of the backups of one instance.
    ///
    /// The outcome comes with the record of it, which must be written before a byte of the outcome leaves.
    pub async fn backups(self: &Rc<Self>, ask: &BackupsAsk) -> Settled<BackupList> {
        let wish = Wish {
            asker: &ask.asker,
            action: Action::ListBackups,
            instance: &ask.instance,
            region: ask.region.as_ref(),
            network: Network::Both,
        };
        let mut record = self.open_record(self.broker.record_of(&wish));
        let outcome = match self.permitted_region(&wish, &mut record).await {
            Ok(region) => self.backups_in(ask, region, &mut record).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &outcome {
            record.upstream_request_id = failure.upstream_request_id();
        }
        Settled { outcome, record }
    }

    async fn backups_in(
        self: &Rc<Self>,
        ask: &BackupsAsk,
        region: Region,
        record: &mut Record,
    ) -> Result<BackupList, Failure> {
        let cover = ask.slice.cover();
        let key =
            |page| PageKey { region: region.clone(), instance: ask.instance.clone(), filter: ask.filter.clone(), page };
        let first = self.backup_page(&ask.asker, key(cover.first)).await?;
        // What lies past the end costs no call.
        let second = match cover.second.filter(|page| u64::from(page.offset) < first.total) {
            Some(page) => Some(self.backup_page(&ask.asker, key(page)).await?),
            None => None,
        };
        record.upstream_request_id = Some(first.request_id.shared());
        let listed = first.items.iter().chain(second.iter().flat_map(|page| &page.items));
        let backups = ask.slice.of(&cover, listed).into_iter().cloned().collect();
        Ok(BackupList { region, backups, total: first.total })
    }

    /// The newest backup in status `normal`.
    ///
    /// The vendor does not say in which order it lists. Where a page begins with the newest and goes back in time, what
    /// follows is older; else all pages are looked through.
    ///
    /// # Errors
    ///
    /// [`Failure::NoNormalBackup`] where there is none; else the failure of a call.
    pub(super) async fn latest_backup(
        self: &Rc<Self>,
        asker: &Asker,
        region: &Region,
        instance: &InstanceId,
    ) -> Result<BackupId, Failure> {
        let filter = BackupFilter { statuses: vec![BackupStatus::Normal], ..BackupFilter::default() };
        let mut newest: Option<Backup> = None;
        for number in 0..MOST_PAGES {
            let page = Page { offset: number * LONGEST_PAGE, limit: LONGEST_PAGE };
            let key = PageKey { region: region.clone(), instance: instance.clone(), filter: filter.clone(), page };
            let listed = self.backup_page(asker, key).await?;
            let candidate = newest_of(newest.iter().chain(&listed.items)).cloned();
            newest = candidate.or(newest);
            let is_last = listed.items.is_empty() || u64::from(page.offset + LONGEST_PAGE) >= listed.total;
            if is_last || is_newest_first(&listed.items) {
                return newest.map(|backup| backup.id).ok_or(Failure::NoNormalBackup);
            }
        }
        Err(Failure::Upstream(Arc::new(CallError::Malformed(Defect::TooLong))))
    }

    async fn backup_page(self: &Rc<Self>, asker: &Asker, key: PageKey) -> Result<Arc<BackupPage>, Failure> {
        let broker = &self.broker;
        let instance = (key.region.clone(), key.instance.clone());
        let known = || broker.backups.missing.look_up(&instance, broker.clock.monotonic()).map(Err);
        if let Some(outcome) = known() {
            return outcome.map_err(Failure::Upstream);
        }
        let terms = broker.terms(asker, &key.region, ApiAction::DescribeInstanceBackups);
        let spawn = |pilot| {
            actix_web::rt::spawn(fly(Rc::clone(self), key.clone(), pilot));
        };
        let (outcome, _) = broker.backups.flights.obtain(&key, &terms, known, spawn).await?;
        outcome.map_err(Failure::Upstream)
    }
}

async fn fly(worker: Rc<Worker>, key: PageKey, mut pilot: Pilot<PageKey, Arc<BackupPage>>) {
    let broker = &worker.broker;
    let course = broker.course(&key.region, ApiAction::DescribeInstanceBackups, &pilot.behalf);
    let answer = course.run(
        &mut pilot.fetch,
        |page: &BackupPage| &page.request_id,
        async |grant| {
            let PageKey { region, instance, filter, page } = &key;
            let progress = |progress| course.note(grant, progress);
            worker.client.describe_instance_backups(region, instance, *page, filter, NO_LIMIT, progress).await
        },
    );
    let Ok(answer) = answer.await else { return };
    let outcome = answer.map(Arc::new).map_err(Arc::new);
    if let Err(error) = &outcome
        && error.class() == Some(Class::InstanceNotFound)
    {
        broker.backups.missing.insert((key.region, key.instance), Arc::clone(error), broker.clock.monotonic());
    }
    pilot.land(outcome);
}

/// The newest of those in status `normal`; of several that started in the same second the first. The vendor's
/// date-times (`2019-03-07 10:00:01`) sort as texts; one that has none is older than all.
fn newest_of<'a>(backups: impl Iterator<Item = &'a Backup>) -> Option<&'a Backup> {
    backups
        .filter(|backup| backup.status == BackupStatus::Normal)
        .reduce(|newest, backup| if backup.start_time > newest.start_time { backup } else { newest })
}

fn is_newest_first(backups: &[Backup]) -> bool {
    backups.iter().any(|backup| backup.status == BackupStatus::Normal)
        && backups.windows(2).all(|pair| pair[0].start_time >= pair[1].start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(id: &str, status: BackupStatus, start: Option<&str>) -> Backup {
        Backup {
            id: BackupId::try_from(id).unwrap(),
            status,
            backup_type: None,
            start_time: start.map(str::to_owned),
            end_time: None,
            expire_time: None,
            file_type: None,
            encrypted: None,
            locked: None,
            remark: String::new(),
        }
    }

    #[test]
    fn the_newest_is_found_whatever_the_order() {
        use BackupStatus::{Locked, Normal};
        let listed = [
            backup("undated", Normal, None),
            backup("old", Normal, Some("2026-11-09 03:00:01")),
            backup("new", Normal, Some("2026-11-10 03:00:01")),
            backup("same-second", Normal, Some("2026-11-10 03:00:01")),
            backup("unfinished", Locked, Some("2026-11-24 03:00:01")),
        ];

        assert_eq!(newest_of(listed.iter()).map(|backup| backup.id.as_str()), Some("new"));
        assert_eq!(newest_of(listed[4..].iter()), None);
        assert_eq!(newest_of(listed[..1].iter()).map(|backup| backup.id.as_str()), Some("undated"));
    }

    #[test]
    fn a_page_that_goes_back_in_time_is_known_as_such() {
        use BackupStatus::{Expired, Normal};
        let (new, old) = (Some("2026-11-10 03:00:01"), Some("2026-11-09 03:00:01"));

        assert!(is_newest_first(&[backup("a", Normal, new), backup("b", Normal, old)]));
        assert!(is_newest_first(&[backup("a", Normal, new), backup("b", Normal, new), backup("c", Normal, None)]));
        assert!(!is_newest_first(&[backup("a", Normal, old), backup("b", Normal, new)]));
        assert!(!is_newest_first(&[backup("a", Expired, new)]));
        assert!(!is_newest_first(&[]));
    }
}
