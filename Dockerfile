# syntax=docker/dockerfile:1
# The monitor in an image without a shell, run by nobody. See deploy/compose/README.md.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# The dependencies first: they stay in a layer of their own while only our source changes. The manifest names the benches.
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked --bin smtptls-exporter \
    && rm -r src
COPY src src
# There is no checkout in here: whoever builds tells the revision, for --version and smtptls_build_info.
ARG SMTPTLS_REVISION
# Files keep their dates when they are copied; without new ones they may seem older than what was built of the empty source.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked --bin smtptls-exporter \
    && mkdir /state

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/smtptls-exporter /usr/local/bin/smtptls-exporter
COPY --from=build --chown=65532:65532 /state /var/lib/smtptls-exporter
# `state.dir` is a folder below where it runs, unless told otherwise.
WORKDIR /var/lib/smtptls-exporter
VOLUME /var/lib/smtptls-exporter
USER 65532:65532
EXPOSE 10461
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/smtptls-exporter", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/smtptls-exporter"]
CMD ["serve", "--config.file", "/etc/smtptls-exporter/smtptls-exporter.yml", "--state.dir", "/var/lib/smtptls-exporter"]
