//! `GET /instances/{instance_id}/backups`.

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse};

use super::{
    accept::{self, Format},
    lists::{self, BackupsBody},
    query::BackupsQuery,
    request::{Incoming, InstancePath, instance_id},
};
use crate::{broker::BackupsAsk, domain::Action};

/// List the backups of an instance
///
/// In the vendor's order, in all states unless you choose. It is asked for each time: a backup that has just been
/// finished is there.
#[utoipa::path(
    get,
    path = "/instances/{instance_id}/backups",
    operation_id = "list_backups",
    tag = "Find",
    params(InstancePath, BackupsQuery),
    responses((
        status = 200,
        description = "a page of the backups",
        content_type = "application/json",
        body = BackupsBody<'_>,
        example = json!({
            "instance_id": "crs-4y9t57vt", "region": "ap-chengdu",
            "backups": [{
                "backup_id": "678362566696298532848117", "status": "normal", "type": "1",
                "start_time": "2019-03-07 10:00:01", "end_time": "2019-03-07 10:03:11", "expire_time": null,
                "file_type": "RDB-Redis 6.2", "encrypted": false, "locked": false, "remark": ""
            }],
            "total": 1, "limit": 20, "offset": 0
        }),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn backups(request: &HttpRequest, incoming: &mut Incoming, instance: &str) -> HttpResponse {
    let understood = incoming.understand(request, |incoming| {
        let instance = instance_id(instance)?;
        let query = BackupsQuery::parse(request.query_string(), incoming.broker())?;
        accept::choose(request.headers(), &[Format::Json])?;
        let (slice, filter) = (query.slice(), query.filter());
        Ok(BackupsAsk { asker: Rc::clone(&incoming.asker), instance, region: query.region, filter, slice })
    });
    let ask = match understood {
        Ok(ask) => ask,
        Err(problem) => return incoming.refuse(&problem).await,
    };
    let settled = incoming.edge.worker.backups(&ask).await;
    incoming.conclude(Action::ListBackups, settled, |list| lists::respond(&BackupsBody::of(&ask, list))).await
}
