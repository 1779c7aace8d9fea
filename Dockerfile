# The gateway in an image without a shell and without a package manager.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --tag redis-backup-gateway .
#
# BINARY=prebuilt takes the program from target/dist (`make binary`) instead of building it here.

ARG BUILDER_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot
ARG BINARY=compiled

# What is built here is built by the same lines as anywhere else.
FROM ${BUILDER_IMAGE} AS compiled
WORKDIR /gateway
# The image's own toolchain, whatever rust-toolchain.toml says of components that only a developer needs.
ENV RUSTUP_TOOLCHAIN=1.95.0
# hadolint ignore=DL3008 # Pinned versions of Debian's packages vanish from its mirrors; nothing of them is in the result.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
# Changes when the manifests do, and not with every line of source.
COPY Makefile Cargo.toml Cargo.lock ./
COPY sandbox/Cargo.toml sandbox/
COPY scripts/lib.sh scripts/release.sh scripts/dependencies scripts/
RUN make dependencies
COPY . .
ARG REVISION=unknown
RUN make binary REVISION="${REVISION}"

FROM scratch AS prebuilt
COPY target/dist/redis-backup-gateway /gateway/target/dist/

FROM ${BINARY} AS binary

FROM ${RUNTIME_IMAGE} AS runtime
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="redis-backup-gateway" \
      org.opencontainers.image.description="Hands out pre-signed download URLs of Redis backups at Tencent Cloud without handing out cloud keys" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=binary /gateway/target/dist/redis-backup-gateway /usr/local/bin/redis-backup-gateway
COPY LICENSE /usr/share/doc/redis-backup-gateway/
# Yours goes to these places. The program writes nothing, unless the audit's file is configured.
ENV GATEWAY_CONFIG=/etc/redis-backup-gateway/gateway.toml
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/usr/local/bin/redis-backup-gateway", "health"]
ENTRYPOINT ["/usr/local/bin/redis-backup-gateway"]
CMD ["serve"]
