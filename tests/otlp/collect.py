"""A collector for one trace.

    collect.py PORT URL TOKEN

listens at PORT, asks URL once in a trace of its own, which is a miss, and ends with 1 unless what the gateway sent of
the miss is that one trace, whole, as the published messages read it.
"""

import http.server
import json
import secrets
import sys
import threading
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

ROUTE = "/instances/{instance_id}/backups/{backup_id}/urls"
CALL = "redis/DescribeBackupUrl"

# Each span of a miss: what it is called, which span it stands below, of what kind it is.
MISS = {
    f"GET {ROUTE}": ("the caller", Span.SPAN_KIND_SERVER),
    "authenticate": (f"GET {ROUTE}", Span.SPAN_KIND_INTERNAL),
    "policy": (f"GET {ROUTE}", Span.SPAN_KIND_INTERNAL),
    "cache": (f"GET {ROUTE}", Span.SPAN_KIND_INTERNAL),
    "fetch": (f"GET {ROUTE}", Span.SPAN_KIND_INTERNAL),
    "queue": ("fetch", Span.SPAN_KIND_INTERNAL),
    CALL: ("fetch", Span.SPAN_KIND_CLIENT),
    "audit": (f"GET {ROUTE}", Span.SPAN_KIND_INTERNAL),
}


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what is posted to /v1/traces, and complains about what it does not understand."""

    protocol_version = "HTTP/1.1"
    messages, complaints, news = [], [], threading.Condition()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        message = ExportTraceServiceRequest()
        message.ParseFromString(body)
        with self.news:
            if (self.path, self.headers["content-type"]) != ("/v1/traces", "application/x-protobuf"):
                self.complaints.append(f"{self.path} {self.headers['content-type']}")
            if unknown := sorted(unknown_fields(message)):
                self.complaints.append(f"fields that the messages do not have: {unknown}")
            self.messages.append(message)
            self.news.notify_all()
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """What matters is printed at the end."""


def unknown_fields(message):
    """Whatever the message has that its definition has not: written anew without it, it is shorter."""
    again = type(message)()
    again.CopyFrom(message)
    again.DiscardUnknownFields()
    if again.ByteSize() != message.ByteSize():
        yield type(message).__name__


def ask(url, token, trace, span):
    headers = {"Authorization": f"Bearer {token}", "traceparent": f"00-{trace}-{span}-01", "tracestate": "rojo=1"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return json.load(answer)


def resources_and_spans(messages):
    for message in messages:
        for of_resource in message.resource_spans:
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    yield of_resource.resource, span


def attributes(thing):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in thing.attributes}


def problems(spans, caller, body):
    by_name = {span.name: span for _, span in spans}
    if sorted(by_name) != sorted(MISS) or len(spans) != len(MISS):
        yield f"the spans are {sorted(span.name for _, span in spans)}"
        return
    ids = {"the caller": caller, **{name: span.span_id for name, span in by_name.items()}}
    for name, (parent, kind) in MISS.items():
        span = by_name[name]
        if span.parent_span_id != ids[parent]:
            yield f"{name} does not stand below {parent}"
        if span.kind != kind:
            yield f"{name} is of kind {span.kind}"
        if span.trace_state != "rojo=1":
            yield f"{name} has the state {span.trace_state!r}"
        if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
            yield f"{name} ends before it begins"
        if span.status.code != Status.STATUS_CODE_UNSET:
            yield f"{name} has failed"
    for resource, _ in spans:
        if attributes(resource).get("service.name") != "redis-backup-gateway":
            yield f"the resource is {attributes(resource)}"
    if attributes(by_name[CALL]).get("gateway.upstream_request_id") != body["upstream_request_id"]:
        yield f"the call is {attributes(by_name[CALL])}"
    if attributes(by_name[f"GET {ROUTE}"]).get("http.response.status_code") != 200:
        yield f"the request is {attributes(by_name[f'GET {ROUTE}'])}"


def main(port, url, token):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trace, caller = secrets.token_hex(16), secrets.token_hex(8)
    body = ask(url, token, trace, caller)

    def of_trace():
        return [pair for pair in resources_and_spans(Collector.messages) if pair[1].trace_id == bytes.fromhex(trace)]

    with Collector.news:
        Collector.news.wait_for(lambda: len(of_trace()) >= len(MISS), timeout=30)
        found = [*Collector.complaints, *problems(of_trace(), bytes.fromhex(caller), body)]
    if found:
        sys.exit("\n".join(found))
    print(f"one trace over a miss, of {len(MISS)} spans below its caller's")


if __name__ == "__main__":
    main(*sys.argv[1:])
