"""Uses the client that openapi-python-client made from openapi.json: finds a backup, gets its URLs, downloads it."""

import os
from http import HTTPStatus

import httpx
from backup_gateway import AuthenticatedClient, Client
from backup_gateway.api.about import is_alive
from backup_gateway.api.download import download_backup_file, read_backup_urls
from backup_gateway.api.find import list_backups, list_instances
from backup_gateway.models import BackupUrls, Problem, ProblemCode, ReadBackupUrlsNetwork

gateway, token = os.environ["GATEWAY"], os.environ["TOKEN"]


def main() -> None:
    with AuthenticatedClient(base_url=gateway, token=token) as client:
        instances = list_instances.sync(client=client, limit=100)
        orders = next(instance for instance in instances.instances if instance.name == "orders")
        assert (orders.region, orders.status, orders.shards) == ("ap-chengdu", "running", 5), orders
        assert instances.unavailable_regions == []

        backups = list_backups.sync(orders.instance_id, client=client, status="normal,exported", limit=2, offset=1)
        assert (len(backups.backups), backups.total, backups.offset) == (2, 4, 1), backups
        assert {backup.status for backup in backups.backups} <= {"normal", "exported"}

        urls = read_backup_urls.sync(
            orders.instance_id, "latest", client=client, network=ReadBackupUrlsNetwork.PUBLIC, x_access_reason="INC-1"
        )
        assert isinstance(urls, BackupUrls), urls
        assert urls.expires_at > urls.fetched_at
        assert len(urls.files) == orders.shards
        dump = httpx.get(urls.files[0].download_url).content
        assert dump.startswith(b"REDIS"), dump[:16]

        file = download_backup_file.sync_detailed(orders.instance_id, urls.backup_id, 1, client=client)
        assert file.status_code == HTTPStatus.FOUND
        assert file.headers["location"] == urls.files[0].download_url

        missing = read_backup_urls.sync_detailed("crs-nowhere", "latest", client=client)
        assert isinstance(missing.parsed, Problem), missing
        assert (missing.status_code, missing.parsed.code) == (404, ProblemCode.INSTANCE_NOT_FOUND)

    with AuthenticatedClient(base_url=gateway, token="a.b.c") as stranger:
        refused = list_instances.sync(client=stranger)
        assert refused.code == ProblemCode.UNAUTHENTICATED, refused

    with Client(base_url=gateway) as nobody:
        assert is_alive.sync_detailed(client=nobody).status_code == HTTPStatus.OK

    print("the generated client works")


main()
