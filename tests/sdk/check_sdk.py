"""Asks the sandbox what the official Python SDK would ask the cloud.

The SDK signs with its own code, so the sandbox is right about signatures by somebody else's judgement, and about the
shape of its answers too. The keys are the fake ones of sandbox/src/credential.rs.
"""

import argparse
import datetime
import json
import urllib.error
import urllib.request

from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential, CVMRoleCredential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.redis.v20180412 import models, redis_client

KEY = Credential("AKIDSANDBOXfakeKEY000000000000000001", "SANDBOXfakeSecretKey000000000001")
WRONG_KEY = Credential("AKIDSANDBOXfakeKEY000000000000000001", "SANDBOXfakeSecretKey000000000000")
UNKNOWN_ID = Credential("AKIDSANDBOXfakeKEY000000000000000099", "SANDBOXfakeSecretKey000000000001")
TEMPORARY_ID, TEMPORARY_KEY = "AKIDSANDBOXfakeTMP000000000000000003", "SANDBOXfakeSecretKey000000000003"
TEMPORARY = Credential(TEMPORARY_ID, TEMPORARY_KEY, "SANDBOXfakeSessionToken/with+chars==")
WITHOUT_TOKEN = Credential(TEMPORARY_ID, TEMPORARY_KEY)

ROLE = "qcs::cam::uin/100000000001:roleName/redis-backup-reader"

ORDERS, SEED_BACKUP = "crs-4y9t57vt", "678362566696298532848117"
LEDGER, LEDGER_BACKUP = "crs-fsi3c9qz", "880031957264410098127733"

done = []


def client(url, credential=KEY, region="ap-chengdu", unsigned_payload=False):
    # The SDK speaks https unless told otherwise, and takes the host without a scheme.
    http = HttpProfile(protocol="http", endpoint=url.removeprefix("http://"), reqTimeout=10)
    profile = ClientProfile(httpProfile=http, language="en-US")
    profile.unsignedPayload = unsigned_payload
    return redis_client.RedisClient(credential, region, profile)


def backup_url(of, instance=ORDERS, backup=SEED_BACKUP):
    request = models.DescribeBackupUrlRequest()
    request.InstanceId, request.BackupId = instance, backup
    return of.DescribeBackupUrl(request)


def code_of(call):
    try:
        call()
    except TencentCloudSDKException as error:
        return error.code
    return None


def check(what, got, expected):
    if got != expected:
        raise SystemExit(f"FAILED  {what}: got {got!r}, expected {expected!r}")
    done.append(what)
    print(f"ok      {what}: {got}")


def check_signatures(args):
    check("the right key gets a URL for each shard", len(backup_url(client(args.api)).BackupInfos), 5)
    check("a wrong key", code_of(lambda: backup_url(client(args.api, WRONG_KEY))), "AuthFailure.SignatureFailure")
    check("an unknown id", code_of(lambda: backup_url(client(args.api, UNKNOWN_ID))), "AuthFailure.SecretIdNotFound")
    check("a temporary key with its token", len(backup_url(client(args.api, TEMPORARY)).BackupInfos), 5)
    check("and without it", code_of(lambda: backup_url(client(args.api, WITHOUT_TOKEN))), "AuthFailure.TokenFailure")
    check("an unsigned payload", len(backup_url(client(args.api, unsigned_payload=True)).BackupInfos), 5)
    sent = json.load(urllib.request.urlopen(f"{args.control}/requests"))[-1]["headers"]
    check("which says so", dict(sent).get("X-TC-Content-SHA256"), "UNSIGNED-PAYLOAD")


def assume(args, action, parameters, credential=None, **options):
    http = HttpProfile(protocol="http", endpoint=args.sts.removeprefix("http://"), reqTimeout=10)
    of = CommonClient("sts", "2018-08-13", credential, "ap-guangzhou", profile=ClientProfile(httpProfile=http))
    role = {"RoleArn": ROLE, "RoleSessionName": "sdk", "DurationSeconds": 600}
    key = of.call_json(action, role | parameters, options=options)["Response"]["Credentials"]
    return Credential(key["TmpSecretId"], key["TmpSecretKey"], key["Token"])


def check_temporary_keys(args):
    # The SDK has no setting for the address of the metadata service.
    CVMRoleCredential._role_endpoint = f"{args.metadata}/latest/meta-data/cam/security-credentials/"
    check("the key of a server's role", len(backup_url(client(args.api, CVMRoleCredential())).BackupInfos), 5)
    check("of a role assumed", len(backup_url(client(args.api, assume(args, "AssumeRole", {}, KEY))).BackupInfos), 5)
    wrong = code_of(lambda: assume(args, "AssumeRole", {}, WRONG_KEY))
    check("by somebody without a key", wrong, "AuthFailure.SignatureFailure")
    identity = {"ProviderId": "sandbox-cluster", "WebIdentityToken": "SANDBOXfakeWebIdentityToken.header.signature"}
    of_pod = assume(args, "AssumeRoleWithWebIdentity", identity, SkipSign=True)
    check("and of a pod's identity", len(backup_url(client(args.api, of_pod)).BackupInfos), 5)


def check_regions(args):
    there = client(args.fsi, region="ap-shanghai-fsi")
    check("the financial zone on its host", len(backup_url(there, LEDGER, LEDGER_BACKUP).BackupInfos), 3)
    astray = client(args.api, region="ap-shanghai-fsi")
    check("and on another", code_of(lambda: backup_url(astray, LEDGER, LEDGER_BACKUP)), "UnsupportedRegion")


def check_errors(args):
    of = client(args.api)
    missing = code_of(lambda: backup_url(of, instance="crs-nothing"))
    check("an instance that is not there", missing, "ResourceNotFound.InstanceNotExists")
    missing = code_of(lambda: backup_url(of, backup="1"))
    check("a backup that is not there", missing, "InvalidParameterValue.BackupNotExists")
    unfinished = code_of(lambda: backup_url(of, backup="678362566696298532848121"))
    check("a backup that is not finished", unfinished, "ResourceUnavailable.BackupStatusInvalid")


def check_lists(args):
    of = client(args.api)
    backups = models.DescribeInstanceBackupsRequest()
    backups.InstanceId, backups.Status, backups.Limit = ORDERS, [1, 2], 5
    listed = of.DescribeInstanceBackups(backups)
    check("a list of backups", [listed.TotalCount, listed.BackupSet[0].Status], [4, 1])
    restricted = models.DescribeBackupUrlRequest()
    restricted.from_json_string(json.dumps({
        "InstanceId": ORDERS, "BackupId": SEED_BACKUP, "LimitType": "Customize", "VpcComparisonSymbol": "In",
        "LimitVpc": [{"Region": "ap-chengdu", "VpcList": ["vpc-测试é🚀"]}],
    }))
    check("nested parameters off ASCII", len(of.DescribeBackupUrl(restricted).BackupInfos), 5)
    instances = of.DescribeInstances(models.DescribeInstancesRequest())
    first = instances.InstanceSet[0]
    check("a list of instances", [first.InstanceId, first.RedisShardNum, first.ProductType], [ORDERS, 5, "cluster"])


def check_downloads(args):
    file = backup_url(client(args.api)).BackupInfos[0]
    for name, url in [("the public URL", file.DownloadUrl), ("the inner URL", file.InnerDownloadUrl)]:
        dump = urllib.request.urlopen(url).read()
        check(f"{name} downloads an RDB of the size that was told", [dump[:5], len(dump)], [b"REDIS", file.FileSize])
    try:
        urllib.request.urlopen(file.DownloadUrl.replace("ignore-1-ignore", "ignore-2-ignore"))
    except urllib.error.HTTPError as error:
        check("a changed URL", [error.code, b"SignatureDoesNotMatch" in error.read()], [403, True])


def check_limit(args):
    of = client(args.api)
    began = datetime.datetime.now()
    request = models.DescribeInstancesRequest()
    codes = [code_of(lambda: of.DescribeInstances(request)) for _ in range(25)]
    took = (datetime.datetime.now() - began).total_seconds()
    # A machine too slow to send 25 in a second has nothing to be refused.
    if took < 1:
        check("more than 20 in a second", codes[-1], "RequestLimitExceeded")
    counters = json.load(urllib.request.urlopen(f"{args.control}/counters"))
    check("the sandbox counted them all", counters["calls"]["DescribeInstances"], 26)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for listener in ("api", "fsi", "metadata", "sts", "control"):
        parser.add_argument(f"--{listener}", required=True)
    args = parser.parse_args()
    check_signatures(args)
    check_temporary_keys(args)
    for part in (check_regions, check_errors, check_lists, check_downloads, check_limit):
        part(args)
    print(f"all {len(done)} checks passed")


if __name__ == "__main__":
    main()
