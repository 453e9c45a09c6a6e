# The monitor in an image with nothing else: one static program, no shell, no library, run by nobody. docs/how-to/container.md.
# The last stage alone is built from a program that is there: --build-context build=FOLDER, as packaging/image/check.py does.

FROM rust:1.95.0-slim-bookworm AS build
# The allocator is built with it.
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /usr/src/smtptls-exporter
# The dependencies first: they stay in a layer of their own while only our source changes. The manifest names the benches.
COPY Cargo.toml Cargo.lock build.rs ./
COPY packaging/static.sh packaging/no-modules.c packaging/
COPY benches benches
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && packaging/static.sh \
    && rm -r src
COPY packaging/third-party.sh packaging/
COPY packaging/image/layout.sh packaging/image/
COPY LICENSE NOTICE ./
COPY src src
# There is no checkout in here: whoever builds tells the revision, for --version and smtptls_build_info, and its date in seconds.
ARG SMTPTLS_REVISION
ARG SOURCE_DATE_EPOCH
# Files keep their dates when they are copied; without new ones they may seem older than what was built of the empty source.
RUN touch src/main.rs src/lib.rs && packaging/image/layout.sh "$(packaging/static.sh)" /image

FROM scratch
ARG SMTPTLS_VERSION=0.1.0
ARG SMTPTLS_REVISION
LABEL org.opencontainers.image.title="smtptls-exporter" \
      org.opencontainers.image.description="Prometheus exporter and monitor for the transport security of e-mail: MTA-STS, STARTTLS certificates, TLSRPT" \
      org.opencontainers.image.source="https://github.com/smtptls/smtptls-exporter" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${SMTPTLS_VERSION}" \
      org.opencontainers.image.revision="${SMTPTLS_REVISION}"
COPY --from=build /image/root/ /
COPY --from=build --chown=65532:65532 /image/state/ /var/lib/
# `state.dir` is a folder below where it runs, unless told otherwise.
WORKDIR /var/lib/smtptls-exporter
VOLUME /var/lib/smtptls-exporter
# A number, so that a cluster sees without a list of users that it is not root.
USER 65532:65532
EXPOSE 10461
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/smtptls-exporter", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/smtptls-exporter"]
CMD ["serve", "--config.file", "/etc/smtptls-exporter/smtptls-exporter.yml", "--state.dir", "/var/lib/smtptls-exporter"]
